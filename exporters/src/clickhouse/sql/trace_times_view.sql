CREATE MATERIALIZED VIEW IF NOT EXISTS {view}{cluster} TO {lookup}
AS SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End
FROM {table}
WHERE TraceId != ''
GROUP BY TraceId
