-- Input tokens by component and day over the last week, and each component's share of the day.
SELECT
    toDate(Timestamp) AS day,
    component,
    sum(tokens) AS input_tokens,
    round(100 * input_tokens / sum(input_tokens) OVER (PARTITION BY day), 1) AS percent
FROM otel.otel_traces
ARRAY JOIN mapKeys(Components) AS component, mapValues(Components) AS tokens
WHERE Timestamp >= now() - INTERVAL 7 DAY AND Counted
GROUP BY day, component
ORDER BY day, input_tokens DESC;
