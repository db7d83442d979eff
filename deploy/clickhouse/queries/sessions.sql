-- The sessions of the last day that used most input tokens, with their turns, agents, largest turn
-- and what their calls with a known price cost.
SELECT
    ServiceName,
    Session,
    groupUniqArray(Agent) AS agents,
    max(Turn) AS turns,
    count() AS calls,
    sum(InputTokens) AS input_tokens,
    max(InputTokens) AS largest_call,
    sum(Cost) AS cost_usd,
    countIf(Decision = 'refuse') AS refused
FROM otel.otel_traces
WHERE Timestamp >= now() - INTERVAL 1 DAY AND Counted AND Session != ''
GROUP BY ServiceName, Session
ORDER BY input_tokens DESC
LIMIT 100;
