-- Counts against what providers reported, by model and method: the drift, and how often it left its bound.
SELECT
    Model AS model,
    Method AS method,
    count() AS calls,
    quantileExact(0.5)(Drift) AS median_drift,
    max(abs(Drift)) AS largest,
    round(100 * sum(Drift) / sum(ReportedTokens), 2) AS percent,
    round(100 * countIf(abs(Drift) > InputError) / calls, 2) AS percent_outside
FROM otel.otel_traces
WHERE Timestamp >= now() - INTERVAL 7 DAY AND Drift IS NOT NULL
GROUP BY model, method
ORDER BY percent_outside DESC, calls DESC;
