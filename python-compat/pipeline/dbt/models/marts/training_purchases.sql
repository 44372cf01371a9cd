{{ config(materialized='view') }}
-- Whole histories of the chosen users, with the split of each purchase. A view: nothing is stored twice.
select purchase_splits.*
from {{ ref('purchase_splits') }} as purchase_splits
inner join {{ ref('training_users') }} as training_users
    on training_users.user_id = purchase_splits.user_id
