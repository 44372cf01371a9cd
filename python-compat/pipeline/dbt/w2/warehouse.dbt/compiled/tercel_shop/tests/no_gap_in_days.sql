-- No more than max_gap_days in a row without any purchase: a longer silence is a day's file that never arrived.
with days as (
    select distinct bought_at from "warehouse"."marts"."purchases"
),

steps as (
    select bought_at, lag(bought_at) over (order by bought_at) as day_before
    from days
)

select day_before as last_day_before_gap, bought_at as first_day_after_gap
from steps
where 
        (date_diff('day', day_before::timestamp, bought_at::timestamp ))
     > 7 + 1