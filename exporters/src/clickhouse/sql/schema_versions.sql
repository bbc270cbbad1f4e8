CREATE TABLE IF NOT EXISTS {table}{cluster} (
    `table` String,
    version UInt32,
    applied_at DateTime DEFAULT now(),
    applied_by LowCardinality(String)
) ENGINE = {engine}
ORDER BY (`table`, version)
