
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."at_least_purchases_quantity__1"
    
      
    ) dbt_internal_test