
  
  create view "warehouse"."marts"."training_purchases__dbt_tmp" as (
    
-- Whole histories of the chosen users, with the split of each purchase. A view: nothing is stored twice.
select purchase_splits.*
from "warehouse"."marts"."purchase_splits" as purchase_splits
inner join "warehouse"."marts"."training_users" as training_users
    on training_users.user_id = purchase_splits.user_id
  );
