-- Every product that is described or that was bought: the whole data set sells a few products that its catalogue lacks.
-- A product has no name of its own; its type and its package say most to a person.
with known as (
    select product_id from {{ source('raw', 'cj_products') }}
    union
    select item_id from {{ ref('stg_cj__purchases') }}
)

select
    known.product_id as item_id,
    {{ tidy("coalesce(products.product_type, '') || ' ' || coalesce(products.package_size, '')") }} as name,
    {%- for column in [
        'manufacturer_id', 'department', 'brand', 'product_category', 'product_type', 'package_size'] %}
    {{ tidy('products.' ~ column) }} as {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from known
left join {{ source('raw', 'cj_products') }} as products
    on products.product_id = known.product_id
