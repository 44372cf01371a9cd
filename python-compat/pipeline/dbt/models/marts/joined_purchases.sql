{{ config(materialized='view') }}
-- Purchases beside what is known of the customer and the article, for looking at; training reads the three marts.
select *
from {{ ref('purchase_splits') }}
left join {{ ref('customers') }} using (user_id)
left join {{ ref('articles') }} using (item_id)
