-- Tools whose definitions and results took most input tokens in the last day.
SELECT
    JSONExtractString(entry, 2) AS tool,
    sumIf(tokens, component = 'tools') AS definition_tokens,
    sumIf(tokens, component = 'tool_results') AS result_tokens,
    definition_tokens + result_tokens AS input_tokens,
    uniqExact(SpanId) AS calls
FROM
(
    SELECT
        SpanId,
        arrayJoin(JSONExtractArrayRaw(SpanAttributes['tokentrace.details'])) AS entry,
        JSONExtractString(entry, 1) AS component,
        JSONExtractUInt(entry, 3) AS tokens
    FROM otel.otel_traces
    WHERE Timestamp >= now() - INTERVAL 1 DAY AND mapContains(SpanAttributes, 'tokentrace.details')
)
WHERE component IN ('tools', 'tool_results')
GROUP BY tool
ORDER BY input_tokens DESC
LIMIT 20;
