
select *
from "warehouse"."marts"."purchases"
where amount < 0
