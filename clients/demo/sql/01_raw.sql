-- Raw zone: the files as they came, each loaded once. Running this file again loads nothing twice.

CREATE TABLE IF NOT EXISTS raw.flights (
  flight_id bigint NOT NULL,
  scheduled_at timestamptz NOT NULL,   -- when the flight should leave: known in advance
  departed_at timestamptz,             -- NULL: cancelled
  arrived_at timestamptz,              -- NULL: cancelled or diverted; the delay is known from here on
  carrier text NOT NULL,
  flight integer NOT NULL,
  tailnum text,
  origin text NOT NULL,
  dest text NOT NULL,
  distance integer NOT NULL,           -- miles
  departure_delay integer,             -- minutes, negative: early
  arrival_delay integer,
  air_time integer,
  CONSTRAINT distance_positive CHECK (distance > 0)
);

CREATE TABLE IF NOT EXISTS raw.weather (
  origin text NOT NULL,
  observed_at timestamptz NOT NULL,
  temp double precision,               -- degrees Fahrenheit
  dewp double precision,
  humid double precision,              -- per cent
  wind_dir double precision,           -- degrees
  wind_speed double precision,         -- miles per hour
  wind_gust double precision,
  precip double precision,             -- inches
  pressure double precision,           -- millibars
  visib double precision               -- miles
);

CREATE TABLE IF NOT EXISTS raw.airlines (carrier text NOT NULL, name text NOT NULL);

CREATE TABLE IF NOT EXISTS raw.airports (
  faa text NOT NULL,
  name text NOT NULL,
  lat double precision,
  lon double precision,
  alt integer,                         -- feet
  tz integer,                          -- hours from UTC in winter
  dst text,
  tzone text
);

CREATE TABLE IF NOT EXISTS raw.planes (
  tailnum text NOT NULL,
  year integer,
  type text,
  manufacturer text,
  model text,
  engines integer,
  seats integer,
  speed integer,
  engine text
);

COPY raw.flights FROM 'data/flights_2013_01.csv' WITH (FORMAT csv, HEADER true);
COPY raw.flights FROM 'data/flights_2013_02.parquet' WITH (FORMAT parquet);
COPY raw.weather FROM 'data/weather.csv' WITH (FORMAT csv, HEADER true);
COPY raw.airlines FROM 'data/airlines.csv' WITH (FORMAT csv, HEADER true);
COPY raw.airports FROM 'data/airports.csv' WITH (FORMAT csv, HEADER true);
COPY raw.planes FROM 'data/planes.csv' WITH (FORMAT csv, HEADER true);
