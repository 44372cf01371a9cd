
    
    



select *
from "warehouse"."marts"."training_users"
where user_id is null


