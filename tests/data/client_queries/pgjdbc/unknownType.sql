-- asked: unknownType

-- query
SELECT 'a'::name, 'pg_class'::regclass, '{1}'::oid[]
