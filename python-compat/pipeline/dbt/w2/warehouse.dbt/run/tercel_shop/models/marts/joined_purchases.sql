
  
  create view "warehouse"."marts"."joined_purchases__dbt_tmp" as (
    
-- Purchases beside what is known of the customer and the article, for looking at; training reads the three marts.
select *
from "warehouse"."marts"."purchase_splits"
left join "warehouse"."marts"."customers" using (user_id)
left join "warehouse"."marts"."articles" using (item_id)
  );
