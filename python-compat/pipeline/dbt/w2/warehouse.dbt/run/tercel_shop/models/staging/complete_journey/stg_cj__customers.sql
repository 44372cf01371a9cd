
  
  create view "warehouse"."staging"."stg_cj__customers__dbt_tmp" as (
    -- Every household that bought or that is described: only about a third have a row in the households' file, and the
-- others are users all the same. What is not known is null.
with known as (
    select household_id from "warehouse"."raw"."cj_households"
    union
    select user_id from "warehouse"."staging"."stg_cj__purchases"
)

select
    known.household_id as user_id,
    nullif(trim(households.age), '') as age,
    nullif(trim(households.income), '') as income,
    nullif(trim(households.home_ownership), '') as home_ownership,
    nullif(trim(households.marital_status), '') as marital_status,
    nullif(trim(households.household_size), '') as household_size,
    nullif(trim(households.household_comp), '') as household_comp,
    nullif(trim(households.kids_count), '') as kids_count
from known
left join "warehouse"."raw"."cj_households" as households
    on households.household_id = known.household_id
  );
