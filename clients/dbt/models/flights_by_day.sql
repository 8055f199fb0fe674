{{ config(materialized='incremental', unique_key=['day', 'origin']) }}

-- Each run computes the last day again and those after it: flights of a day may come late.
SELECT
  CAST(scheduled_at AS date) AS day,
  origin,
  count(*) AS flights,
  avg(departure_delay) AS mean_departure_delay
FROM {{ ref('stg_flights') }}
{% if is_incremental() %}
WHERE CAST(scheduled_at AS date) >= (SELECT max(day) FROM {{ this }})
{% endif %}
GROUP BY CAST(scheduled_at AS date), origin
