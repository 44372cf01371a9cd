
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."splits_do_not_overlap"
    
      
    ) dbt_internal_test