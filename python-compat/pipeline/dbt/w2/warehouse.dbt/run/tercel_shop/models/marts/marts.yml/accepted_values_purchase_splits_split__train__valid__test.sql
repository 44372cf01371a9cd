
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."accepted_values_purchase_splits_split__train__valid__test"
    
      
    ) dbt_internal_test