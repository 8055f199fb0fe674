-- asked: setCatalogSchema

-- query
select current_schema()
