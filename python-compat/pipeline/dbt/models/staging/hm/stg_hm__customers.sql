-- fn and active are 1 or null in the file: null stays null, it is not known to mean "no".
select
    customer_id as user_id,
    cast(fn as integer) as fn,
    cast(active as integer) as active,
    {{ tidy('club_member_status') }} as club_member_status,
    {{ tidy('fashion_news_frequency') }} as fashion_news_frequency,
    cast(age as integer) as age,
    {{ tidy('postal_code') }} as postal_code
from {{ source('raw', 'hm_customers') }}
