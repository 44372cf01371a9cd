-- Codes stay texts: they are names of categories, and some begin with a zero.
select
    article_id as item_id,
    {{ tidy('prod_name') }} as name,
    {%- for column in [
        'product_code', 'product_type_no', 'product_type_name', 'product_group_name', 'graphical_appearance_no',
        'graphical_appearance_name', 'colour_group_code', 'colour_group_name', 'perceived_colour_value_id',
        'perceived_colour_value_name', 'perceived_colour_master_id', 'perceived_colour_master_name', 'department_no',
        'department_name', 'index_code', 'index_name', 'index_group_no', 'index_group_name', 'section_no',
        'section_name', 'garment_group_no', 'garment_group_name'] %}
    {{ tidy(column) }} as {{ column }},
    {%- endfor %}
    {{ tidy('detail_desc') }} as description
from {{ source('raw', 'hm_articles') }}
