-- Decisions of the guard by day and model over the last week: refused calls, their share, the largest excess.
SELECT
    toDate(Timestamp) AS day,
    Model AS model,
    count() AS calls,
    countIf(Decision = 'warn') AS warned,
    countIf(Decision = 'compress') AS compressed,
    countIf(Decision = 'refuse') AS refused,
    round(100 * refused / calls, 2) AS percent_refused,
    maxIf(toInt64(InputTokens) - toInt64(LimitTokens), Decision = 'refuse') AS largest_excess
FROM otel.otel_traces
WHERE Timestamp >= now() - INTERVAL 7 DAY AND Decision != ''
GROUP BY day, model
ORDER BY day, refused DESC, model;
