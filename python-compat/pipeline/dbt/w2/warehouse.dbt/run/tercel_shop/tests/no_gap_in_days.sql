
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."no_gap_in_days"
    
      
    ) dbt_internal_test