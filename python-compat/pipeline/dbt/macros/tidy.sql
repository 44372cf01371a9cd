{# A text for people or a category: without blanks around it, and null where nothing is left. Never used on ids. #}
{% macro tidy(column) -%}
    nullif(trim({{ column }}), '')
{%- endmacro %}
