{# Whether a user belongs to the sample: by a hash of the id, so that a user comes with the whole history or not at
   all, is chosen again tomorrow, and a smaller sample lies inside a larger one. The hash is compared as hexadecimal
   text, which every warehouse does alike; turning it into a number, each does in its own way. #}
{% macro user_in_sample(user_id) -%}
    {%- set percent = var('user_sample_percent') | float -%}
    {%- if not (percent > 0 and percent <= 100) -%}
        {{ exceptions.raise_compiler_error("user_sample_percent is " ~ var('user_sample_percent')
            ~ ": it must be above 0 and at most 100 (100 = every user; 0 would leave nobody to train on)") }}
    {%- elif percent == 100 -%}
        1 = 1
    {%- else -%}
        substring({{ dbt.hash(user_id) }}, 1, 12) < '{{ "%012x" % ((percent / 100 * 16 ** 12) | int) }}'
    {%- endif -%}
{%- endmacro %}
