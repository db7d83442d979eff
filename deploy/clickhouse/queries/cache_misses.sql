-- Calls that read nothing from the cache although their session's call before did: what was paid for again.
SELECT
    ServiceName,
    Session,
    Turn AS turn,
    Model AS model,
    before AS cached_before,
    ReportedTokens AS paid_again,
    SpanAttributes['tokentrace.cache.broken_by'] AS broken_by,
    Timestamp AS at
FROM
(
    SELECT
        *, ServiceName, Session, Turn, Model, ReportedTokens, CacheReadTokens,
        lagInFrame(CacheReadTokens) OVER (
            PARTITION BY ServiceName, Session, Agent, Model ORDER BY Timestamp
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS before
    FROM otel.otel_traces
    WHERE Timestamp >= now() - INTERVAL 1 DAY AND ReportedTokens IS NOT NULL AND Session != ''
)
WHERE before > 0 AND CacheReadTokens = 0
ORDER BY paid_again DESC
LIMIT 100;
