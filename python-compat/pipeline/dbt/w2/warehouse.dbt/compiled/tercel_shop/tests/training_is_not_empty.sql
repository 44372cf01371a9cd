-- Somebody is left to train with, and has bought something before training ends.
select counted.*
from (select count(*) as training_rows from "warehouse"."marts"."training_purchases" where split = 'train') as counted
where training_rows = 0