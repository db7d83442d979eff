"""An agent that meets its limit: one turn each that is fine, near the limit, over it, and failing.

Its calls have a price: it believes that it talks to OpenAI, by way of a proxy on loopback.

python agent.py SERVICE
"""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress

import openai

import tokentrace
from tokentrace.demo import OPENAI
from tokentrace.demo.server import Reply, Server
from tokentrace.providers import prices

LIMIT = 1_000
FAILING = "Fail, please. "
# name of a turn: what is asked, and by how much the reported input differs from a count by hand
TURNS = {
    "fine": ("word " * 100, 0),
    "added": ("word " * 110, 7),
    "spared": ("word " * 120, -3),
    "near": ("word " * 850, 0),
    "over": ("word " * 1_200, 0),
    "failing": (FAILING, 0),
}


def answer(body):
    """Answer with a usage that is off by what the turn says."""
    asked = body["messages"][-1]["content"]
    if asked == FAILING:
        return None
    drift = next(drift for text, drift in TURNS.values() if text == asked)
    counted = tokentrace.count(body, api="openai.chat").total
    return Reply("Done.", prompt=counted + drift, completion=2, cached=counted // 2)


def main(service):
    """Serve each turn of one session."""
    warnings.simplefilter("ignore", tokentrace.TokenLimitWarning)
    prices.load()  # now: calls that end before it is loaded bear no cost
    guard = tokentrace.Guard(limit=LIMIT, on_exceed="raise")
    tokentrace.instrument(guard=guard, service_name=service)
    with (
        Server(answer) as server,
        openai.DefaultHttpxClient(proxy=server.origin, trust_env=False) as http,
        openai.OpenAI(base_url=OPENAI, api_key="none", max_retries=0, http_client=http) as client,
        tokentrace.session(f"{service}-session", agent="careful"),
    ):
        for text, _ in TURNS.values():
            with tokentrace.turn(), suppress(tokentrace.TokenLimitExceeded, openai.NotFoundError):
                messages = [{"role": "user", "content": text}]
                client.chat.completions.create(model="gpt-4o", messages=messages)
    tokentrace.uninstrument()


if __name__ == "__main__":
    main(sys.argv[1])
