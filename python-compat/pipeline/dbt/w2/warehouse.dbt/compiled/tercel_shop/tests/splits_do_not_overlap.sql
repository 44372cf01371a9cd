-- Every training purchase is before every validation purchase, and those before every test purchase; and the split
-- that a purchase is said to have is the one of its date. Measured on the rows, not on the rule that made them.
with ends as (
    select
        max(case when split = 'train' then bought_at end) as last_train,
        min(case when split = 'valid' then bought_at end) as first_valid,
        max(case when split = 'valid' then bought_at end) as last_valid,
        min(case when split = 'test' then bought_at end) as first_test
    from "warehouse"."marts"."purchase_splits"
)

select ends.*, split_dates.train_until, split_dates.valid_until
from ends
cross join "warehouse"."marts"."split_dates" as split_dates
where last_train >= first_valid
    or last_train >= first_test
    or last_valid >= first_test
    or last_train >= train_until
    or first_valid < train_until
    or last_valid >= valid_until
    or first_test < valid_until
    or train_until >= valid_until