
    
    



select *
from "warehouse"."marts"."purchase_splits"
where split is null


