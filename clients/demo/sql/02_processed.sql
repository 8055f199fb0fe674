-- Processed zone: clean tables and names that analysts read.

CREATE TABLE IF NOT EXISTS processed.flights AS
SELECT
  f.flight_id,
  f.scheduled_at,
  f.departed_at,
  f.arrived_at,
  f.carrier,
  a.name AS airline,
  f.flight,
  f.tailnum,
  f.origin,
  f.dest,
  f.distance,
  f.departure_delay,
  f.arrival_delay,
  f.departed_at IS NULL AS cancelled,
  f.arrival_delay > 15 AS late
FROM raw.flights f
LEFT JOIN raw.airlines a ON a.carrier = f.carrier;

COMMENT ON TABLE processed.flights IS 'One row for each flight that was to leave New York in January and February 2013';
COMMENT ON COLUMN processed.flights.late IS 'Arrived more than 15 minutes late, NULL when it never arrived';

CREATE OR REPLACE VIEW processed.airline_punctuality AS
SELECT
  airline,
  count(*) AS flights,
  round(avg(CASE WHEN late THEN 100.0 ELSE 0.0 END), 1) AS late_percent,
  sum(CASE WHEN cancelled THEN 1 ELSE 0 END) AS cancelled
FROM processed.flights
GROUP BY airline;
