-- asked: settings

-- query
SHOW server_version
