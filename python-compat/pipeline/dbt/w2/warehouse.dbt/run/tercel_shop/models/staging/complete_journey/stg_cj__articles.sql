
  
  create view "warehouse"."staging"."stg_cj__articles__dbt_tmp" as (
    -- Every product that is described or that was bought: the whole data set sells a few products that its catalogue lacks.
-- A product has no name of its own; its type and its package say most to a person.
with known as (
    select product_id from "warehouse"."raw"."cj_products"
    union
    select item_id from "warehouse"."staging"."stg_cj__purchases"
)

select
    known.product_id as item_id,
    nullif(trim(coalesce(products.product_type, '') || ' ' || coalesce(products.package_size, '')), '') as name,
    nullif(trim(products.manufacturer_id), '') as manufacturer_id,
    nullif(trim(products.department), '') as department,
    nullif(trim(products.brand), '') as brand,
    nullif(trim(products.product_category), '') as product_category,
    nullif(trim(products.product_type), '') as product_type,
    nullif(trim(products.package_size), '') as package_size
from known
left join "warehouse"."raw"."cj_products" as products
    on products.product_id = known.product_id
  );
