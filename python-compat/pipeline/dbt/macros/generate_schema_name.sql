{# Schemas are called what the project calls them (staging, marts, failures), not <target>_staging:
   readers of the marts then need no setting to find them. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
