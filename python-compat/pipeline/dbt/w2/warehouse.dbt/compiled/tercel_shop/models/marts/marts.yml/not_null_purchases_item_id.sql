
    
    



select *
from "warehouse"."marts"."purchases"
where item_id is null


