-- One row per line of a receipt. Left out: returns (no quantity), and what nobody can be recommended: fuel (its
-- quantity is gallons by the thousand), coupons and the till's miscellaneous lines.
select
    lines.household_id as user_id,
    lines.product_id as item_id,
    lines.t_dat as bought_at,
    lines.sales_value as amount,
    lines.quantity,
    cast(null as TEXT) as channel
from "warehouse"."raw"."cj_transactions" as lines
left join "warehouse"."raw"."cj_products" as products
    on products.product_id = lines.product_id
where lines.quantity > 0
    and coalesce(nullif(trim(products.department), ''), '') not in ('FUEL', 'COUPON', 'MISCELLANEOUS')