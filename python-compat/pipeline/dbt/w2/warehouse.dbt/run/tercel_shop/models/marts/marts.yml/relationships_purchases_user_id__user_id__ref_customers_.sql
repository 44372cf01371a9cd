
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."relationships_purchases_user_id__user_id__ref_customers_"
    
      
    ) dbt_internal_test