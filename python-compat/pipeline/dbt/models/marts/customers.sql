select * from {{ stg('customers') }}
