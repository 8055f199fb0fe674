-- Makes text.tsv: what PostgreSQL 15 reads from a text and how it shows the value.
--   psql -X -q -v ON_ERROR_STOP=1 -f text.sql > text.tsv        (needs no tables and leaves none)
-- Columns: time zone, type, input, SQLSTATE or 00000, shown value or message, detail, hint.
-- The values that Tarn refuses on purpose (infinity, now, NaN in a numeric ...) are not here.
SET client_min_messages = error;
SELECT setseed(0.5) \g /dev/null

CREATE FUNCTION pg_temp.attempt(zone text, type text, input text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE shown text; state text := '00000'; detail text; hint text;
BEGIN
  PERFORM set_config('TimeZone', zone, true);
  BEGIN
    EXECUTE format('SELECT ($1::text::%s)::text', type) INTO shown USING input;
    -- jsonb, char(n) and others have casts to text that differ from their output.
    IF type = 'boolean' OR type LIKE 'char(%' THEN
      EXECUTE format('SELECT textin(%sout($1::text::%s))',
                     CASE WHEN type = 'boolean' THEN 'bool' ELSE 'bpchar' END, type) INTO shown USING input;
    END IF;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS shown = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
                            state = RETURNED_SQLSTATE;
  END;
  RETURN concat_ws(chr(31), zone, type, input, state, shown, coalesce(detail, ''), coalesce(hint, ''));
END $$;

CREATE TEMP TABLE cases (number serial, zone text DEFAULT 'UTC', type text, input text);

INSERT INTO cases (type, input) SELECT 'boolean', unnest(ARRAY['t','f','true','FALSE','y','n','yes','no','on',
  'off','of','o','1','0','tr','fal','ye',' true ','TRUE ','2','','yess','10','nO']);

INSERT INTO cases (type, input) SELECT type, input FROM unnest(ARRAY['smallint','integer','bigint']) AS type,
  unnest(ARRAY['0','-0','+5','007',' 42 ','32767','32768','-32768','-32769','2147483647','2147483648',
  '-2147483648','-2147483649','9223372036854775807','9223372036854775808','-9223372036854775808',
  '-9223372036854775809','000000000000000000000000000012','99999999999999999999999','','  ','-','+','1.0','1e3',
  'abc','12a','1 2','--1','+-1',E'\t7\n','0x10','1_000']) AS input;

INSERT INTO cases (type, input) SELECT type, input FROM unnest(ARRAY['real','double precision']) AS type,
  unnest(ARRAY['0','-0','1','-1.5','.5','5.','1e5','1E5','1e+5','1e-5','123456','1234567','12345678','100000',
  '1000000','999999','999999.5','0.0001','0.00001','0.00012345','1e14','1e15','123456789012345','1234567890123456',
  '123456789012345680','NaN','nan','Infinity','-Infinity','inf','-inf','+inf','infinity',' 1.5 ','1e400','-1e400',
  '1e-400','1e39','1e-46','3.4028235e38','3.4028236e38','1e-45','5e-324','4.9e-324','2.2250738585072014e-308',
  '1.7976931348623157e308','1.7976931348623159e308','','  ','.','e5','1e','1e+','1.2.3','abc','1,5','0.1','0.2',
  '0.3','1e23','9007199254740993','9007199254740992','9007199254740991','4503599627370497.5','2e22','8.5e22',
  '16777216','16777217','33554430','8388608.5','3e10','1.5e300','0e500','0.0e-999','1d','1f','nano','infinit']) AS input;
-- Around every power of two the neighbours are unevenly far away; some texts lie half way between two.
INSERT INTO cases (type, input) SELECT 'double precision', power(2::float8, e)::text FROM generate_series(-1074, 1023, 7) e;
INSERT INTO cases (type, input) SELECT 'double precision', (power(2::numeric, e) * 3)::text FROM generate_series(54, 330, 3) e;
INSERT INTO cases (type, input) SELECT 'real', power(2::float8, e)::text FROM generate_series(-149, 127) e;
INSERT INTO cases (type, input) SELECT 'double precision', d || 'e' || e FROM generate_series(1, 9) d, generate_series(15, 30) e;
INSERT INTO cases (type, input) SELECT 'real', d || 'e' || e FROM generate_series(1, 19) d, generate_series(4, 14) e;
INSERT INTO cases (type, input) SELECT 'double precision', ((random() - 0.5) * power(10::float8, (random() * 600 - 300)::int))::text FROM generate_series(1, 500);
INSERT INTO cases (type, input) SELECT 'double precision', ((random() - 0.5) * power(10::float8, (random() * 30 - 10)::int))::text FROM generate_series(1, 300);
INSERT INTO cases (type, input) SELECT 'real', ((random() - 0.5) * power(10::float8, (random() * 70 - 35)::int))::text FROM generate_series(1, 500);

INSERT INTO cases (type, input) SELECT type, input FROM
  unnest(ARRAY['numeric(12,2)','numeric(38,9)','numeric(5,5)','numeric(3,0)','numeric(38,0)']) AS type,
  unnest(ARRAY['0','-0','1','-1','1.5','1.005','1.004999','-1.005','.5','5.','0.005','0.0049999','-0.005','999','999.5',
  '999.49','-999.5','9999999999.99','9999999999.994','9999999999.995','10000000000','0.99999','0.999995','0.9999949','1e3',
  '1E-3','1e+2','12e-1','1.5e2','1e40','1e-400','0e400','1e2147483648','-0.00','00001.5',' 7.25 ','+3',
  '99999999999999999999999999999999999999','999999999999999999999999999999999999999',
  '12345678901234567890123456789.123456789','0.0000000000000000000000000000000000000000001',
  '0.9999999999','123456789012345678','1234567890123456789','12345678901234567890','','  ','.','-','+','1.2.3','1,5',
  'abc','1e','1e+','--1','1 2','0x1F','1_000','12e5x','e5']) AS input;
INSERT INTO cases (type, input) SELECT 'numeric(20,4)', round(((random() - 0.5) * power(10::numeric, (random() * 18)::int))::numeric, (random() * 8)::int)::text FROM generate_series(1, 300);

INSERT INTO cases (type, input) SELECT 'date', unnest(ARRAY['2013-01-31','2013-1-5','20130131','130131','2013/01/31','2013.01.31',
  '1/31/2013','01-31-2013','01/31/13','1/31/69','1/31/70','31/1/2013','January 8, 1999','8 January 1999','jan 8 99',
  '99-Jan-08','1999-Jan-08','Jan-08-1999','08-Jan-99','08-Jan-1999','Jan-08-99','Jan 8 1999','january 8 1999',
  'sept 9 2001','Tue Jan 8 1999','Tuesday, January 8, 1999','2000-02-29','1900-02-29','2001-02-29','2004-02-30','2013-04-31',
  '2013-13-01','2013-00-10','2013-01-00','2013-01-32','0000-01-01','0001-01-01','0001-01-01 BC','0044-03-15 BC','44-03-15 BC',
  '0000-01-01 BC','4714-11-24 BC','4714-11-23 BC','4713-01-01 BC','9999-12-31','10000-01-01','12345-06-07','5874897-12-31','5874898-01-01',
  '99999999-01-01','2013-01-31 04:05:06','2013-01-31T04:05:06Z','2013-01-31 25:00:00','epoch',' 2013-01-31 ','',' ','abc',
  '2013','2013-01','2013-01-','13-01-31','01-02-03','1-2-3','2013-01-31x','2013-01-31 foo','2013--01-31','20130231',
  '2013-01-31 ad','january','jan 2013','8','2013-366','99999','1e5','04:05:06','31.1.2013','1.31.2013',
  '2013-01-31 +05','J2451187x','foo bar','2013-01-3a','２０１３-01-31','1997-02-29','12-31-1999 AD','10 oct 2000','oct 10','2000 oct 10','Thu 2013-01-31','AD 2013-01-31','UTC 2013-01-31','2012-366','2013.060','2013-000','2013-367','2013060']);
INSERT INTO cases (type, input) SELECT 'date', (date '0001-01-01' + (random() * 3650000)::int)::text FROM generate_series(1, 200);

INSERT INTO cases (zone, type, input) SELECT zone, type, input FROM unnest(ARRAY['UTC','Europe/Berlin','America/New_York','Asia/Kolkata']) AS zone,
  unnest(ARRAY['timestamp','timestamp with time zone']) AS type,
  unnest(ARRAY['2013-01-31','2013-01-31 05:06','2013-01-31 05:06:07','2013-01-31T05:06:07','2013-01-31 05:06:07.1',
  '2013-01-31 05:06:07.123456','2013-01-31 05:06:07.1234567','2013-01-31 05:06:07.1234565','2013-01-31 05:06:07.9999999',
  '2013-01-31 05:06:07Z','2013-01-31 05:06:07z','2013-01-31 05:06:07+00','2013-01-31 05:06:07+01','2013-01-31 05:06:07-03:30',
  '2013-01-31 05:06:07 +05:30','2013-01-31 05:06:07+0530','2013-01-31 05:06:07+5','2013-01-31 05:06:07.5-08:00:00',
  '2013-01-31 05:06:07+15:59','2013-01-31 05:06:07+16','2013-01-31 05:06:07+05:60','2013-01-31 05:06:07 UTC',
  '2013-01-31 05:06:07 PST','2013-07-31 05:06:07 EDT','2013-01-31 05:06:07 Europe/Paris','2013-07-31 05:06:07 europe/paris',
  '2013-07-31 05:06:07 America/New_York','2013-01-31 05:06:07 Nowhere/Town','2013-01-31 05:06:07 foo','2024-03-31 02:30:00',
  '2024-03-31 01:59:59.999','2024-03-31 03:00:00','2024-10-27 02:30:00','2024-10-27 01:59:59','2024-10-27 03:00:00','2024-03-10 02:30:00',
  '2024-11-03 01:30:00','2024-11-03 02:00:00','2014-07-04 12:00','1900-01-01 00:00:00','2999-03-31 12:00:00','2999-12-31 23:59:59','12345-07-01 00:00:00','1850-06-01 12:34:56','2100-07-01 00:00:00',
  '2013-01-31 24:00:00','2013-01-31 23:59:60','2013-01-31 24:00:01','2013-01-31 25:00','2013-01-31 12:60:00','2013-01-31 12:00:61',
  '2013-01-31 05:06:07 AM','2013-01-31 05:06:07 PM','2013-01-31 12:00 AM','2013-01-31 12:00 PM','2013-01-31 13:00 PM','2013-01-31 5pm',
  '20130131 050607','20130131T050607','20130131T050607Z','20130131T050607+02','20130131 0506','20130131050607','2013-01-31 050607.25',
  'Jan 31 05:06:07 2013','Thu Jan 31 05:06:07 2013','Thu Jan 31 05:06:07.5 2013 PST','31 Jan 2013 05:06','January 31, 2013 5:06 PM',
  '05:06:07 2013-01-31','1/31/2013 05:06:07','2013-02-30 00:00:00','2013-13-01 00:00:00','0044-03-15 12:00:00 BC','0001-01-01 00:00:00',
  '4713-01-01 00:00:00 BC','294246-12-31 12:00:00','294278-01-02 00:00:00','99999-01-01 00:00:00','epoch',' 2013-01-31 05:06:07 ','','abc',
  '05:06:07','2013-01-31 05','2013-01-31 05:','2013-01-31 :05','2013-01-31 05:06:07.','2013-01-31 05:06:07.x','2013-01-31 05:06:07 05:06:07',
  '2013-01-31 2013-01-31','2013-01-31 06:07.5','2013-01-31 05:06:07+','2013-01-31T','2013-01-31 T05:06:07','2013-01-31 at 05:06','2013-01-31 allballs',
  '2013-01-31 05:06:07 +01:00:30','2013-01-31 05:06:07 GMT','2013-01-31 05:06:07 CEST','1970-01-01 00:00:00.000001','1969-12-31 23:59:59.999999',
  '2013-01-31 05:06:07,5','2013-01-31,05:06:07','2013-01-31 040506-08']) AS input;
INSERT INTO cases (zone, type, input) SELECT zone, 'timestamp with time zone', to_char(timestamp '1902-01-01' + random() * interval '170 years', 'YYYY-MM-DD HH24:MI:SS.US')
  FROM unnest(ARRAY['Europe/Berlin','America/Sao_Paulo','Australia/Lord_Howe','Pacific/Apia']) AS zone, generate_series(1, 100);

INSERT INTO cases (type, input) SELECT 'time', unnest(ARRAY['04:05:06.789','04:05:06','04:05','040506','0405','040506.5','4:5:6','04:05 AM','04:05 PM','12:30 AM',
  '24:00:00','24:00:01','23:59:60','23:59:60.5','25:00','12:60','12:00:61','04:05:06-08','04:05:06 PST','04:05:06 UTC','2003-04-12 04:05:06',
  'allballs','','abc','04','-04:05',' 04:05 ','00:00:00.0000001','23:59:59.9999999','10:','5pm','04:05:06.1234565','T04:05:06','t040506']);

INSERT INTO cases (type, input) SELECT 'interval', unnest(ARRAY['1 day','1 year 2 mons 3 days 04:05:06.789','1 year','2 years','-1 year','1 mon','-1 mons +3 days',
  '1 day -00:00:01','-1 day +02:03:04','-1 day 02:03:04','3 4:05:06','4:05:06','-4:05:06','1-2','-1-2','1-2 3 4:05:06','1 week','1.5 weeks','1.5 days','1.5 months','1.5 years',
  '0.1 months','90 minutes','100 hours','12','12.5','1 second','1.5 seconds','1 ms','250 milliseconds','5 us','1 decade','1 century','1 millennium',
  'P1Y2M3DT4H5M6S','P1Y','PT36H','P1W','PT0.5S','P-1Y2M','P1.5D','PT','P','1 day ago','1 year 2 days ago','@ 1 minute','1day','1h30m','2 hours 3 minutes 4.5 sec',
  '','abc','1 foo','1 day 1 day','day','1 2 days','0','00:00','1-13','100:00:00','1 mon 35 days 25:00:00','2147483647 months','2147483648 months','178956970 years 8 mons',
  '1 day 12','-1.5 days','-0.5 seconds','-12:30','1:2:3.000001','00:00:00.0000005','1 d 2 h','1 y 1 mon 1 w 1 d','10 hr 5 min','+1 day','- 1 day','999999999 days',
  '1 year -1 mon +1 day -00:00:01']);

INSERT INTO cases (type, input) SELECT 'uuid', unnest(ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11','{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}',
  'a0eebc999c0b4ef8bb6d6bb9bd380a11','a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11','{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1','a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111',
  '','abc','g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11','-a0eebc999c0b4ef8bb6d6bb9bd380a11','a0eebc999c0b4ef8bb6d6bb9bd380a11-',' a0eebc999c0b4ef8bb6d6bb9bd380a11']);

INSERT INTO cases (type, input) SELECT 'bytea', unnest(ARRAY['','\x','\x0aFf','\x 0a ff','\x0','\x0g','\xé0','abc','a\\b','\000\377\101','\400','\9','\','a\1','é','\\','\\\\','x01']);

INSERT INTO cases (type, input) SELECT type, input FROM unnest(ARRAY['varchar(3)','char(3)']) AS type, unnest(ARRAY['','a','abc','abcd','abc  ','ab   ','äöü','äöüx','äöü ',E'abc\n']) AS input;
-- An explicit cast cuts; only an assignment checks. Ask the input function instead.
UPDATE cases SET type = type || ' input' WHERE type IN ('varchar(3)', 'char(3)');

INSERT INTO cases (type, input) SELECT type, input FROM unnest(ARRAY['json','jsonb']) AS type,
  unnest(ARRAY['1','-1.50','1e3','1.50e1','1.5e-3','-0','0.10','1E+2','0e5','12345678901234567890123.4500','"a"','"\u00e9\n\"\\\/"','"\ud83d\ude00"','true','null',' [1, 2,3 ] ','[]','{}','{"a":1,"a":2}',
  '{"bb":1,"a":{"c":[1,{"d":null}]},"c":"x"}','{"b":1,"aa":2,"a":3}','"\t"','"é"','','  ','{','[1,','[1 2]','{"a"}','{"a":}','{a:1}','01','1.','.5','+1','-','1e','tru','nulll','"abc','"\x"','"\u12"','"\u12g4"',
  E'"a\nb"','[1]]','{"a":1,}','[1,]','"\ud83d"','"\ude00"','{"a":1 "b":2}','1 2','NaN','[true,false]','"\u0001\u001f"','{"":1}','{"a" : "b" , "c" : [ ] }']) AS input;

INSERT INTO cases (type, input) SELECT 'int[]', unnest(ARRAY['{}','{1,2,3}','{1,NULL,3}',' { 1 , 2 } ','{1,null}','{"1","2"}','{1,2','1,2}','{1,,2}','{,1}','{1,}','{1,2}x','','{a}','{1,99999999999}','{\1,2}']);
INSERT INTO cases (type, input) SELECT 'text[]', unnest(ARRAY['{}','{a,b}','{"a b","c,d"}','{"a\"b","c\\d"}','{a\"b}','{NULL,"NULL",null}','{"",a}','{ a b , c }','{"a"x}','{x"a"}','{"a" , "b"}','{a\,b}','{a\ }','{"{x}"}','{"a','{a}b','{"ä","日本"}','{"tab	x"}']);
INSERT INTO cases (type, input) SELECT 'boolean[]', unnest(ARRAY['{t,f,NULL}','{true,off}','{2}']);
INSERT INTO cases (type, input) SELECT 'timestamp[]', unnest(ARRAY['{"2013-01-31 05:06:07",NULL}','{2013-01-31}']);
INSERT INTO cases (type, input) SELECT 'numeric(12,2)[]', unnest(ARRAY['{1.5,2.005}','{1e20}']);

INSERT INTO cases (type, input) SELECT 'uuid[]', unnest(ARRAY['{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11,NULL}','{x}']);
INSERT INTO cases (type, input) SELECT type, input FROM unnest(ARRAY['timestamp(0) without time zone','timestamp(3) without time zone','timestamp(3) with time zone']) AS type,
  unnest(ARRAY['2013-01-31 05:06:07','2013-01-31 05:06:07.1234','2013-01-31 05:06:07.1235','2013-01-31 05:06:07.9995','2013-01-31 23:59:59.9999',
  '1999-12-31 23:59:59.5','1999-12-31 23:59:59.0005','1950-01-01 00:00:00.0005','1950-01-01 00:00:00.5','2013-02-30']) AS input;
INSERT INTO cases (type, input) SELECT type, input FROM unnest(ARRAY['time(0) without time zone','time(2) without time zone']) AS type,
  unnest(ARRAY['04:05:06','04:05:06.5','04:05:06.125','23:59:59.999','x']) AS input;

CREATE DOMAIN pg_temp.v3 AS varchar(3);
CREATE FUNCTION pg_temp.typed(type text, input text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE shown text; state text := '00000'; detail text; hint text;
BEGIN
  BEGIN
    IF type = 'varchar(3) input' THEN shown := varcharout(varcharin(input::cstring, 0, 7));
    ELSE shown := bpcharout(bpcharin(input::cstring, 0, 7)); END IF;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS shown = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
  END;
  RETURN concat_ws(chr(31), 'UTC', replace(type, ' input', ''), input, state, shown, coalesce(detail, ''), coalesce(hint, ''));
END $$;

CREATE TEMP TABLE answers AS SELECT number, string_to_array(
  CASE WHEN type LIKE '% input' THEN pg_temp.typed(type, input) ELSE pg_temp.attempt(zone, type, input) END, chr(31)) AS answer FROM cases;
COPY (SELECT answer[1], answer[2], answer[3], answer[4], answer[5], answer[6], answer[7] FROM answers ORDER BY number) TO STDOUT;
