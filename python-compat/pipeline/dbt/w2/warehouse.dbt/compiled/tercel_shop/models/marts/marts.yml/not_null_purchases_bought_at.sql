
    
    



select *
from "warehouse"."marts"."purchases"
where bought_at is null


