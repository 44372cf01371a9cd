-- A purchase cannot be younger than the load that brought it; and there is a load.
select purchases.*
from "warehouse"."marts"."purchases" as purchases
cross join (select cast(max(loaded_at) as date) as loaded_on from "warehouse"."raw"."loads") as loads
where loads.loaded_on is null
    or purchases.bought_at > loads.loaded_on