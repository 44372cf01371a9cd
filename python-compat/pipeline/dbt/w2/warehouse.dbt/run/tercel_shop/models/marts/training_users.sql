
    

    create  table
      "warehouse"."marts"."training_users__dbt_tmp"
  
    
    as (
      -- The users to train with: those of the sample who bought enough before training ends. The sample and the filter both
-- choose users, so neither can cut a history, in whichever order they come.
select
    user_id,
    sum(case when split = 'train' then 1 else 0 end) as purchases_before
from "warehouse"."marts"."purchase_splits"
where 1 = 1
group by user_id
having sum(case when split = 'train' then 1 else 0 end) >= 1
    );
    
  