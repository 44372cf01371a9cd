-- One row: where training and validation end. Training is before train_until, validation before valid_until, and the
-- test is from there on. Without the vars: the last 7 days are the test and the 7 before them validation.
{{ check_split_settings() }}
with newest as (
    select max(bought_at) as newest_purchase from {{ ref('purchases') }}
)

select
    cast({{ date_setting('train_until') or dbt.dateadd('day', -13, 'newest_purchase') }} as date) as train_until,
    cast({{ date_setting('valid_until') or dbt.dateadd('day', -6, 'newest_purchase') }} as date) as valid_until,
    newest_purchase
from newest
