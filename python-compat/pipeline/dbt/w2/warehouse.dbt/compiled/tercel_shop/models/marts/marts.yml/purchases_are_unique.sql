
select user_id, item_id, bought_at, count(*) as times
from "warehouse"."marts"."purchases"
group by user_id, item_id, bought_at
having count(*) > 1
