
    
    

with all_values as (

    select
        split as value_field,
        count(*) as n_records

    from "warehouse"."marts"."purchase_splits"
    group by split

)

select *
from all_values
where value_field not in (
    'train','valid','test'
)


