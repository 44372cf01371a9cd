-- Day by day, the mart has the pieces and the money of the source: a line that was lost, or moved to another day,
-- shows. Amounts are compared to the hundred-thousandth, since the mart keeps them as doubles.
with source_days as (
    select bought_at, sum(quantity) as pieces, cast(sum(amount) as double) as amount
    from "warehouse"."staging"."stg_cj__purchases"
    group by bought_at
),

mart_days as (
    select bought_at, sum(quantity) as pieces, sum(amount) as amount
    from "warehouse"."marts"."purchases"
    group by bought_at
)

select
    coalesce(source_days.bought_at, mart_days.bought_at) as bought_at,
    source_days.pieces as pieces_in_source,
    mart_days.pieces as pieces_in_mart,
    source_days.amount as amount_in_source,
    mart_days.amount as amount_in_mart
from source_days
full outer join mart_days on mart_days.bought_at = source_days.bought_at
where source_days.pieces is null
    or mart_days.pieces is null
    or source_days.pieces <> mart_days.pieces
    or abs(source_days.amount - mart_days.amount) > 0.00001 * (1 + abs(source_days.amount))