
    
    



select *
from "warehouse"."marts"."articles"
where item_id is null


