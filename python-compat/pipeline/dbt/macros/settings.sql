{# The settings of the project, checked where they are read: a bad one stops the run with its name. #}

{# The staging model of the source that this run reads: stg('purchases') is stg_hm__purchases for H&M. #}
{% macro stg(name) -%}
    {%- set prefixes = {'hm': 'stg_hm__', 'complete-journey': 'stg_cj__'} -%}
    {%- set kind = var('source_kind') -%}
    {%- if kind not in prefixes -%}
        {{ exceptions.raise_compiler_error("source_kind is '" ~ kind ~ "': it must be hm or complete-journey") }}
    {%- endif -%}
    {{ return(ref(prefixes[kind] ~ name)) }}
{%- endmacro %}

{# A var that may be absent; yaml's `none` is a text, so both forms count as absent. #}
{% macro given(name) -%}
    {%- set value = var(name) -%}
    {{ return(none if value is none or value | string | lower in ('', 'none', 'null') else value) }}
{%- endmacro %}

{# A date var as a date literal, or none. #}
{% macro date_setting(name) -%}
    {%- set value = given(name) -%}
    {%- if value is none -%}{{ return(none) }}{%- endif -%}
    {%- if not modules.re.fullmatch('[0-9]{4}-[0-9]{2}-[0-9]{2}', value | string) -%}
        {{ exceptions.raise_compiler_error(name ~ " is '" ~ value ~ "': it must be a date, YYYY-MM-DD") }}
    {%- endif -%}
    {{ return("cast('" ~ value ~ "' as date)") }}
{%- endmacro %}

{# A var that counts something, or none. #}
{% macro count_setting(name) -%}
    {%- set value = given(name) -%}
    {%- if value is none -%}{{ return(none) }}{%- endif -%}
    {%- if not modules.re.fullmatch('[0-9]+', value | string) -%}
        {{ exceptions.raise_compiler_error(name ~ " is '" ~ value ~ "': it must be a whole number, 0 or more") }}
    {%- endif -%}
    {{ return(value | int) }}
{%- endmacro %}

{# Both dates of the split or neither, in order. #}
{% macro check_split_settings() -%}
    {%- set train_until, valid_until = given('train_until'), given('valid_until') -%}
    {%- if (train_until is none) != (valid_until is none) -%}
        {{ exceptions.raise_compiler_error("give both train_until and valid_until, or neither") }}
    {%- elif train_until is not none and train_until | string >= valid_until | string -%}
        {{ exceptions.raise_compiler_error("train_until (" ~ train_until ~ ") must be before valid_until ("
                                           ~ valid_until ~ ")") }}
    {%- endif -%}
{%- endmacro %}
