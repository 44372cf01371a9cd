
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."stg_cj__purchases_item_id_is_in_catalogue"
    
      
    ) dbt_internal_test