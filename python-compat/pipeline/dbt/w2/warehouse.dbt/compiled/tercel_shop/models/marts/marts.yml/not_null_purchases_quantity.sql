
    
    



select *
from "warehouse"."marts"."purchases"
where quantity is null


