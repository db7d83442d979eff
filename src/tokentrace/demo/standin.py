"""A stand-in for a model, for agents that are tried out without one: it looks, then it answers.

It asks for one look at the demo's evidence for each prompt, and repeats the beginning of what the
tool printed. The usage that it reports is tokentrace's own count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import tokentrace
from tokentrace.demo.script import evidence
from tokentrace.demo.server import Reply

SEEN = (
    "nodes", "deployments", "hpa", "canary-logs", "node-describe", "traces", "top-pods", "timeline",
)  # fmt: skip
WORDS = 40
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look something up in the cluster.",
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string", "enum": list(SEEN)}},
            "required": ["at"],
        },
    },
}


def model(body: Mapping[str, Any]) -> Reply:
    """Return the answer to a chat completion, for `tokentrace.demo.server.Server`."""
    used = tokentrace.count(dict(body), api="openai.chat").total
    last = body["messages"][-1]
    if last["role"] == "tool":
        told = " ".join(last["content"].split()[:WORDS])
        return Reply(f"This stands out: {told}", prompt=used, completion=2 * WORDS)
    arguments = json.dumps({"at": SEEN[len(last["content"]) % len(SEEN)]})
    return Reply(tool=("look", arguments), prompt=used, completion=12)


def look(call: Mapping[str, Any]) -> dict[str, Any]:
    """Run a tool call of the model; return the message with its result."""
    at = json.loads(call["function"]["arguments"])["at"]
    return {"role": "tool", "tool_call_id": call["id"], "content": evidence(f"{at}.txt")}
