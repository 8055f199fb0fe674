-- The schema that every client looked at when its queries were recorded.
DROP DATABASE IF EXISTS tarn;
CREATE DATABASE tarn TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'UTF8';
\c tarn
CREATE SCHEMA features; CREATE SCHEMA processed; CREATE SCHEMA raw;
CREATE TABLE raw.tx (
  tx_id bigint NOT NULL, user_id bigint, merchant varchar(20), amount numeric(12,2) DEFAULT 0,
  ts timestamptz NOT NULL, day date, tags text[], payload jsonb, ref uuid,
  CONSTRAINT amount_ok CHECK (amount >= 0));
COMMENT ON TABLE raw.tx IS 'card transactions';
COMMENT ON COLUMN raw.tx.amount IS 'in euro';
CREATE TABLE public.labels (
  user_id bigint NOT NULL, at timestamp(3) NOT NULL, is_fraud boolean DEFAULT false, score real,
  code char(3), price double precision, n integer, k smallint, body bytea, t time, doc json, name text);
CREATE VIEW processed.big AS SELECT tx_id, amount FROM raw.tx WHERE amount > 100;
COMMENT ON VIEW processed.big IS 'large ones';
CREATE MATERIALIZED VIEW features.user_7d AS SELECT user_id, count(*) AS n_7d FROM raw.tx GROUP BY user_id;
COMMENT ON SCHEMA raw IS 'rows as they came';
