
    
    



select *
from "warehouse"."marts"."purchases"
where amount is null


