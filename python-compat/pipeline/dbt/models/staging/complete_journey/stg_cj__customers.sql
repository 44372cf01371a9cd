-- Every household that bought or that is described: only about a third have a row in the households' file, and the
-- others are users all the same. What is not known is null.
with known as (
    select household_id from {{ source('raw', 'cj_households') }}
    union
    select user_id from {{ ref('stg_cj__purchases') }}
)

select
    known.household_id as user_id,
    {%- for column in [
        'age', 'income', 'home_ownership', 'marital_status', 'household_size', 'household_comp', 'kids_count'] %}
    {{ tidy('households.' ~ column) }} as {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from known
left join {{ source('raw', 'cj_households') }} as households
    on households.household_id = known.household_id
