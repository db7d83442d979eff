-- Traces of the last day with most spans, and about how many bytes they hold: Tempo takes 5,000,000 of each.
SELECT
    TraceId,
    any(ServiceName) AS service,
    count() AS spans,
    sum(76 + length(SpanName)
        + arraySum(name -> length(name) + 8, mapKeys(SpanAttributes))
        + arraySum(value -> length(value), mapValues(SpanAttributes))) AS bytes,
    dateDiff('second', min(Timestamp), max(Timestamp)) AS seconds
FROM otel.otel_traces
WHERE Timestamp >= now() - INTERVAL 1 DAY
GROUP BY TraceId
ORDER BY bytes DESC
LIMIT 20;
