
    
    



select *
from "warehouse"."marts"."purchases"
where user_id is null


