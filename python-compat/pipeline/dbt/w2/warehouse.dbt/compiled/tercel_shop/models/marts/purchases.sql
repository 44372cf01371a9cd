-- One row per user, item and day. All lines of that day become one row, which says how many pieces they were and what
-- they cost together. The day is part of the key, so no date can move: a group by, not a last_value() over a window.
select
    user_id,
    item_id,
    bought_at,
    cast(sum(amount) as double) as amount,
    cast(sum(quantity) as bigint) as quantity,
    -- Bought through two channels on one day: saying either one would be wrong.
    case when min(channel) = max(channel) then min(channel) when min(channel) is not null then 'several' end as channel
from "warehouse"."staging"."stg_cj__purchases"
group by user_id, item_id, bought_at