-- A user that is trained with has every purchase there: neither sampling nor the filter cuts a history.
with chosen as (
    select user_id, count(*) as purchases from "warehouse"."marts"."training_purchases" group by user_id
),

everything as (
    select user_id, count(*) as purchases from "warehouse"."marts"."purchases" group by user_id
)

select chosen.user_id, chosen.purchases, everything.purchases as purchases_in_all
from chosen
left join everything on everything.user_id = chosen.user_id
where everything.purchases is null or everything.purchases <> chosen.purchases