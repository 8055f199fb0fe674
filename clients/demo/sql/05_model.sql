-- The model that train_delay_model.py made: the chance that a flight arrives more than 15 minutes late.

CREATE MODEL IF NOT EXISTS features.delay_model FROM 'models/delay_model.onnx'
  INPUT (
    carrier text, origin text, scheduled_hour real, distance real, temp real, humid real, wind_speed real,
    precip real, pressure real, visib real, mean_departure_delay real
  )
  OUTPUT (late_chance real);
