Count UInt64 CODEC(Delta, ZSTD(1)),
Sum Float64 CODEC(ZSTD(1)),
ValueAtQuantiles Nested (
    Quantile Float64,
    Value Float64
) CODEC(ZSTD(1)),
