-- Feature zone. Each row of a feature view says what was known about an entity from its event time on.

-- The last weather report of an airport.
CREATE MATERIALIZED VIEW IF NOT EXISTS features.airport_weather
  WITH (entity = 'origin', event_time = 'observed_at')
  AS SELECT origin, observed_at, temp, humid, wind_speed, precip, pressure, visib
     FROM raw.weather;

-- How late flights left an airport in each hour. A departure delay is known when the aircraft leaves, so the
-- value of an hour is known when that hour is over: that is its event time.
CREATE MATERIALIZED VIEW IF NOT EXISTS features.airport_delays
  WITH (entity = 'origin', event_time = 'known_at')
  AS SELECT
       origin,
       date_trunc('hour', departed_at) + INTERVAL '1 hour' AS known_at,
       count(*) AS departures,
       avg(CAST(departure_delay AS double precision)) AS mean_departure_delay
     FROM processed.flights
     WHERE NOT cancelled
     GROUP BY origin, date_trunc('hour', departed_at) + INTERVAL '1 hour';
