SELECT
  a.name AS airline,
  count(*) AS flights,
  sum(CASE WHEN f.cancelled THEN 1 ELSE 0 END) AS cancelled,
  avg(f.arrival_delay) AS mean_arrival_delay
FROM {{ ref('stg_flights') }} f
JOIN {{ source('raw', 'airlines') }} a ON a.carrier = f.carrier
GROUP BY a.name
