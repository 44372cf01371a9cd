
select *
from "warehouse"."marts"."purchases"
where quantity < 1
