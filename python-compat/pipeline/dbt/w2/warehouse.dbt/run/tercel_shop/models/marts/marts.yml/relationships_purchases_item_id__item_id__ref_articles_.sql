
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
        select *
        from "warehouse"."failures"."relationships_purchases_item_id__item_id__ref_articles_"
    
      
    ) dbt_internal_test