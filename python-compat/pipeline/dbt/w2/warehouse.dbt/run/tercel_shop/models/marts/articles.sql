
    

    create  table
      "warehouse"."marts"."articles__dbt_tmp"
  
    
    as (
      select * from "warehouse"."staging"."stg_cj__articles"
    );
    
  