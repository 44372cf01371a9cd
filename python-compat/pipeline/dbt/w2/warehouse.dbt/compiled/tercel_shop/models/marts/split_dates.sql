-- One row: where training and validation end. Training is before train_until, validation before valid_until, and the
-- test is from there on. Without the vars: the last 7 days are the test and the 7 before them validation.

with newest as (
    select max(bought_at) as newest_purchase from "warehouse"."marts"."purchases"
)

select
    cast(cast('2017-12-04' as date) as date) as train_until,
    cast(cast('2017-12-11' as date) as date) as valid_until,
    newest_purchase
from newest