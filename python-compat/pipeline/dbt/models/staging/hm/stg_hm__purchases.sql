-- One row per line of transactions_train.csv: H&M writes a line for every piece, so a line is one piece.
select
    customer_id as user_id,
    article_id as item_id,
    t_dat as bought_at,
    price as amount,
    1 as quantity,
    {{ tidy('sales_channel_id') }} as channel
from {{ source('raw', 'hm_transactions') }}
