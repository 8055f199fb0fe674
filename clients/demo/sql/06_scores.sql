-- Scores for the flights of the last week of February, which the model has never seen.

CREATE TABLE IF NOT EXISTS features.delay_scores AS
SELECT
  flight_id, scheduled_at, carrier, origin, dest, late,
  features.delay_model(
    carrier, origin, scheduled_hour, distance, temp, humid, wind_speed,
    precip, pressure, visib, mean_departure_delay
  ) AS late_chance
FROM features.flight_features
WHERE scheduled_at >= TIMESTAMPTZ '2013-02-22 05:00:00+00';

-- Do the scores tell anything? The share of late flights should rise from one tenth of the scores to the next.
CREATE OR REPLACE VIEW features.delay_score_check AS
SELECT
  tenth,
  count(*) AS flights,
  round(CAST(avg(late_chance) AS numeric), 3) AS predicted,
  round(CAST(avg(CASE WHEN late THEN 1.0 ELSE 0.0 END) AS numeric), 3) AS happened
FROM (
  SELECT late_chance, late, ntile(10) OVER (ORDER BY late_chance, flight_id) AS tenth
  FROM features.delay_scores
  WHERE late IS NOT NULL
) AS scored
GROUP BY tenth;
