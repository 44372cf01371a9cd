-- The newest purchase is not older than max_age_days on the day as_of (without as_of: the day of the newest load).
with days as (
    select
        split_dates.newest_purchase,
        loads.loaded_on as as_of
    from "warehouse"."marts"."split_dates" as split_dates
    cross join (select cast(max(loaded_at) as date) as loaded_on from "warehouse"."raw"."loads") as loads
)

select newest_purchase, as_of
from days
where 1 = 0 -- max_age_days is not given: old data may be trained on