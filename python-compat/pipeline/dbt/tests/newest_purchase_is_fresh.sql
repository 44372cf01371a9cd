-- The newest purchase is not older than max_age_days on the day as_of (without as_of: the day of the newest load).
{%- set max_age_days = count_setting('max_age_days') %}
with days as (
    select
        split_dates.newest_purchase,
        {{ date_setting('as_of') or 'loads.loaded_on' }} as as_of
    from {{ ref('split_dates') }} as split_dates
    cross join (select cast(max(loaded_at) as date) as loaded_on from {{ source('raw', 'loads') }}) as loads
)

select newest_purchase, as_of
from days
{%- if max_age_days is none %}
where 1 = 0 -- max_age_days is not given: old data may be trained on
{%- else %}
where newest_purchase is null
    or as_of is null
    or {{ dbt.datediff('newest_purchase', 'as_of', 'day') }} > {{ max_age_days }}
{%- endif %}
