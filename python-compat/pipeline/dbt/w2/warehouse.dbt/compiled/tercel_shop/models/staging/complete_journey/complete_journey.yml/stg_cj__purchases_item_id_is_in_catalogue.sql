
    
    

with child as (
    select item_id as from_field
    from "warehouse"."staging"."stg_cj__purchases"
    where item_id is not null
),

parent as (
    select product_id as to_field
    from "warehouse"."raw"."cj_products"
)

select
    from_field

from child
left join parent
    on child.from_field = parent.to_field

where parent.to_field is null


