
    

    create  table
      "warehouse"."marts"."customers__dbt_tmp"
  
    
    as (
      select * from "warehouse"."staging"."stg_cj__customers"
    );
    
  