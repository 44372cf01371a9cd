
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."no_purchase_after_load"
    
      
    ) dbt_internal_test