-- Traces of agents in ClickHouse, as the Collector's ClickHouse exporter writes them.
--
--   clickhouse-client --multiquery < deploy/clickhouse/schema.sql
--
-- and in the exporter: `database: otel`, `create_schema: false`. The columns down to Links are the
-- exporter's (0.110 and later): their names and types have to stay. Everything below them is computed
-- from its attributes as rows are inserted, so that questions about tokens read numbers and not maps.
-- Their order lets a service's sessions be read without its other rows. Written for ClickHouse 24.8
-- and later; adapt days of keeping (TTL), and the engine where there are replicas.

CREATE DATABASE IF NOT EXISTS otel;

CREATE TABLE IF NOT EXISTS otel.otel_traces
(
    Timestamp          DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId            String CODEC(ZSTD(1)),
    SpanId             String CODEC(ZSTD(1)),
    ParentSpanId       String CODEC(ZSTD(1)),
    TraceState         String CODEC(ZSTD(1)),
    SpanName           LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind           LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName        LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName          String CODEC(ZSTD(1)),
    ScopeVersion       String CODEC(ZSTD(1)),
    SpanAttributes     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration           UInt64 CODEC(ZSTD(1)),
    StatusCode         LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage      String CODEC(ZSTD(1)),
    Events             Nested (
        Timestamp  DateTime64(9),
        Name       LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links              Nested (
        TraceId    String,
        SpanId     String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),

    Session          String                 MATERIALIZED SpanAttributes['gen_ai.conversation.id'] CODEC(ZSTD(1)),
    Agent            LowCardinality(String) MATERIALIZED SpanAttributes['gen_ai.agent.name'],
    Operation        LowCardinality(String) MATERIALIZED SpanAttributes['gen_ai.operation.name'],
    Model            LowCardinality(String) MATERIALIZED SpanAttributes['gen_ai.request.model'],
    Turn             UInt32                 MATERIALIZED toUInt32OrZero(SpanAttributes['tokentrace.turn.number']),
    Counted          Bool                   MATERIALIZED mapContains(SpanAttributes, 'tokentrace.input.tokens'),
    InputTokens      UInt64                 MATERIALIZED toUInt64OrZero(SpanAttributes['tokentrace.input.tokens']),
    InputError       UInt64                 MATERIALIZED toUInt64OrZero(SpanAttributes['tokentrace.input.error']),
    Method           LowCardinality(String) MATERIALIZED SpanAttributes['tokentrace.input.method'],
    Drift            Nullable(Int64)        MATERIALIZED toInt64OrNull(SpanAttributes['tokentrace.input.drift']),
    LimitTokens      UInt64                 MATERIALIZED toUInt64OrZero(SpanAttributes['tokentrace.limit.tokens']),
    Utilization      Float64                MATERIALIZED toFloat64OrZero(SpanAttributes['tokentrace.limit.utilization']),
    Decision         LowCardinality(String) MATERIALIZED SpanAttributes['tokentrace.guard.decision'],
    ReportedTokens   Nullable(UInt64)       MATERIALIZED toUInt64OrNull(SpanAttributes['gen_ai.usage.input_tokens']),
    OutputTokens     Nullable(UInt64)       MATERIALIZED toUInt64OrNull(SpanAttributes['gen_ai.usage.output_tokens']),
    CacheReadTokens  UInt64                 MATERIALIZED toUInt64OrZero(SpanAttributes['gen_ai.usage.cache_read.input_tokens']),
    CacheWriteTokens UInt64                 MATERIALIZED toUInt64OrZero(SpanAttributes['gen_ai.usage.cache_write.input_tokens']),
    Cost             Nullable(Float64)      MATERIALIZED toFloat64OrNull(SpanAttributes['tokentrace.cost.usd']),
    Components       Map(LowCardinality(String), UInt64) MATERIALIZED mapFromArrays(
        arrayMap(
            name -> extract(name, '^tokentrace\\.component\\.(.+)\\.tokens$'),
            arrayFilter(name -> match(name, '^tokentrace\\.component\\..+\\.tokens$'), mapKeys(SpanAttributes))
        ),
        arrayMap(
            tokens -> toUInt64OrZero(tokens),
            arrayFilter(
                (tokens, name) -> match(name, '^tokentrace\\.component\\..+\\.tokens$'),
                mapValues(SpanAttributes), mapKeys(SpanAttributes)
            )
        )
    ),

    INDEX by_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_session Session TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_attribute mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_time Timestamp TYPE minmax GRANULARITY 1,
    INDEX by_utilization Utilization TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, Session, toDateTime(Timestamp))
TTL toDateTime(Timestamp) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;

-- Where in time a trace lies: the plugin for Grafana, and whoever has only a trace's id, looks here first.
CREATE TABLE IF NOT EXISTS otel.otel_traces_trace_id_ts
(
    TraceId String CODEC(ZSTD(1)),
    Start   DateTime CODEC(Delta(4), ZSTD(1)),
    End     DateTime CODEC(Delta(4), ZSTD(1)),
    INDEX by_trace TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Start)
ORDER BY (TraceId, Start)
TTL Start + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel.otel_traces_trace_id_ts_mv TO otel.otel_traces_trace_id_ts AS
SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End
FROM otel.otel_traces
WHERE TraceId != ''
GROUP BY TraceId;
