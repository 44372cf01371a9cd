
    
    



select *
from "warehouse"."marts"."customers"
where user_id is null


