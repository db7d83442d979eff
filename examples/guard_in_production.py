"""A limit, a warning before it, a remedy at it, and a refusal that costs nothing.

Run it with ``OPENAI_API_KEY`` set. With ``OTEL_EXPORTER_OTLP_ENDPOINT`` set too, spans and metrics go
to that collector; an application that has OpenTelemetry providers of its own needs neither.
"""

import logging
from typing import Any

from openai import OpenAI

import tokentrace

LOG = logging.getLogger("support")
LIMITS = {"gpt-4.1*": 400, "*": 8_000}  # tokens, by model
LOG_QUESTION = "Explain this log:\n" + "12:41:08 WARN pool wait above 100 ms waiters=17\n" * 40


def shorten(body: dict[str, Any], report: tokentrace.LimitReport) -> dict[str, Any] | None:
    """Keep the head of what users pasted; called when a prompt comes near its limit."""
    LOG.warning("%s", report.message)  # numbers and names of components, never prompt text
    messages = [{**message, "content": message["content"][:400]} for message in body["messages"]]
    return {**body, "messages": messages} if messages != body["messages"] else None


def ask(client: OpenAI, question: str) -> str:
    """Ask, and tell the user when the prompt is too long even after shortening."""
    try:
        reply = client.chat.completions.create(
            model="gpt-4.1-mini", messages=[{"role": "user", "content": question}]
        )
    except tokentrace.TokenLimitExceeded as refused:  # nothing was sent; do not retry
        return f"Too long: {refused.report.count.total} of {refused.report.count.limit} tokens."
    return reply.choices[0].message.content or ""


def main() -> None:
    """Ask a short question, one that must be shortened, and one that nobody may shorten."""
    logging.basicConfig()
    logging.captureWarnings(capture=True)  # TokenLimitWarning goes to the log
    guard = tokentrace.Guard(
        limit=LIMITS, thresholds=(0.7, 0.9), on_exceed="raise", compress=shorten
    )
    tokentrace.instrument(guard=guard, service_name="support-bot")
    client = OpenAI()
    with tokentrace.session("support", attributes={"tenant.id": "t1"}):
        print(ask(client, "What does a pool wait of 100 ms mean?"))
        print(ask(client, LOG_QUESTION))
        with tokentrace.session("small", guard=tokentrace.Guard(limit=100, on_exceed="raise")):
            print(ask(client, LOG_QUESTION))


if __name__ == "__main__":
    main()
