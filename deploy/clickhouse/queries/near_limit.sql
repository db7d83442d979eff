-- Sessions of the last day whose newest call filled at least 80 percent of its limit, fullest first.
SELECT
    ServiceName,
    Session,
    argMax(Model, Timestamp) AS model,
    max(Turn) AS turns,
    argMax(InputTokens, Timestamp) AS input_tokens,
    argMax(LimitTokens, Timestamp) AS limit_tokens,
    round(100 * argMax(Utilization, Timestamp), 1) AS percent,
    max(Timestamp) AS seen
FROM otel.otel_traces
WHERE Timestamp >= now() - INTERVAL 1 DAY AND LimitTokens > 0 AND Session != ''
GROUP BY ServiceName, Session
HAVING percent >= 80
ORDER BY percent DESC;
