
-- Every purchase with its split, by its date alone.
select
    purchases.user_id,
    purchases.item_id,
    purchases.bought_at,
    purchases.amount,
    purchases.quantity,
    purchases.channel,
    case
        when purchases.bought_at < split_dates.train_until then 'train'
        when purchases.bought_at < split_dates.valid_until then 'valid'
        else 'test'
    end as split
from "warehouse"."marts"."purchases" as purchases
cross join "warehouse"."marts"."split_dates" as split_dates