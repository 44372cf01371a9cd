
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."not_null_purchases_amount"
    
      
    ) dbt_internal_test