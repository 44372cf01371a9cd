select * from {{ stg('articles') }}
