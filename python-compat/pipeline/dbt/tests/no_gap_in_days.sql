-- No more than max_gap_days in a row without any purchase: a longer silence is a day's file that never arrived.
with days as (
    select distinct bought_at from {{ ref('purchases') }}
),

steps as (
    select bought_at, lag(bought_at) over (order by bought_at) as day_before
    from days
)

select day_before as last_day_before_gap, bought_at as first_day_after_gap
from steps
where {{ dbt.datediff('day_before', 'bought_at', 'day') }} > {{ count_setting('max_gap_days') }} + 1
