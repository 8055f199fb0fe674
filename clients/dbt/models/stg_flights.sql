{{ config(materialized='view') }}

SELECT
  flight_id,
  scheduled_at,
  carrier,
  origin,
  dest,
  departure_delay,
  arrival_delay,
  departed_at IS NULL AS cancelled
FROM {{ source('raw', 'flights') }}
