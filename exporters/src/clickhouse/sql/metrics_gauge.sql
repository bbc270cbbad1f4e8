Value Float64 CODEC(ZSTD(1)),
Exemplars Nested (
    FilteredAttributes Map(LowCardinality(String), String),
    TimeUnix DateTime,
    Value Float64,
    SpanId String,
    TraceId String
) CODEC(ZSTD(1)),
