-- Point-in-time join: each flight with the last weather and the last hourly delay that were known two hours
-- before it was due to leave, when a traveller still can act. Nothing later than that moment can leak in.
-- A value older than six hours counts as unknown (NULL).

CREATE TABLE IF NOT EXISTS features.flight_features AS
WITH decisions AS (
  SELECT
    flight_id, scheduled_at, scheduled_at - INTERVAL '2 hours' AS decided_at, carrier, origin, dest, distance, late,
    CAST(extract(hour FROM scheduled_at AT TIME ZONE 'America/New_York') AS double precision) AS scheduled_hour
  FROM processed.flights
)
SELECT
  d.flight_id, d.scheduled_at, d.decided_at, d.carrier, d.origin, d.dest, d.scheduled_hour, d.distance,
  w.temp, w.humid, w.wind_speed, w.precip, w.pressure, w.visib,
  p.mean_departure_delay,
  d.late
FROM decisions d
ASOF JOIN features.airport_weather w
  MATCH_CONDITION (d.decided_at >= w.observed_at AND d.decided_at - w.observed_at <= INTERVAL '6 hours')
  ON d.origin = w.origin
ASOF JOIN features.airport_delays p
  MATCH_CONDITION (d.decided_at >= p.known_at AND d.decided_at - p.known_at <= INTERVAL '6 hours')
  ON d.origin = p.origin;
