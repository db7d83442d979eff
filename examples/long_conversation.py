"""An agent for long conversations that keeps its prompt in bounds: a process a turn, or a callable.

Its memory is a JSON file a session, its model a stand-in: put a real one's URL into ``base_url``.
"""

import json
import os
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from openai import OpenAI

import tokentrace
from tokentrace.demo.server import Server
from tokentrace.demo.standin import TOOL, look, model

MODEL, BUDGET, NOTES = "gpt-5-mini", 1_600, 8
ROLE = "You look after a Kubernetes cluster. Look things up, and propose changes: never make them."
GOAL = "CORE GOAL: keep the shop open, lose no order, and say how sure you are."


@tokentrace.assembly(name="memory", budget=BUDGET)
def shorten(memory: dict[str, Any]) -> None:
    """Keep the heads of old tool results; over the budget, a line each of the older turns."""
    for message in chain(*memory["turns"][:-1]):
        if message["role"] == "tool" and len(before := message["content"]) > 300:
            message["content"] = f"{before[:240]} (cut)"
            tokentrace.compressed("tool_results", before=before, after=message["content"])
    before = json.dumps(memory["turns"])
    if tokentrace.count(before, model=MODEL).total > BUDGET:
        old, memory["turns"] = memory["turns"][:-2], memory["turns"][-2:]
        lines = [f"{turn[0]['content'][:80]} {turn[-1]['content'][:80]}" for turn in old]
        memory["notes"] = [*memory["notes"], *lines][-NOTES:]
        tokentrace.compressed("history", before=before, after=json.dumps(memory))


def answer(prompt: str, session: str) -> str:
    """Serve one turn of a session and return the answer."""
    place = Path(os.environ.get("AGENT_MEMORY", ".agent")) / f"{session}.json"
    memory = json.loads(place.read_text()) if place.exists() else {"notes": [], "turns": []}
    if os.environ.get("AGENT_OPTIMISATION") != "off":
        shorten(memory)
    notes = tokentrace.tag("notes", "\n".join(memory["notes"]))
    system = "\n\n".join([ROLE, tokentrace.tag("core_goal", GOAL), notes])
    turn: list[Any] = [{"role": "user", "content": prompt}]
    with Server(model) as server, OpenAI(base_url=server.url, api_key="none") as client:
        while turn[-1]["role"] != "assistant" or "tool_calls" in turn[-1]:
            asked = [{"role": "system", "content": system}, *chain(*memory["turns"]), *turn]
            said = client.chat.completions.create(model=MODEL, messages=asked, tools=[TOOL])
            turn.append(said.choices[0].message.model_dump(exclude_none=True))
            turn += map(look, turn[-1].get("tool_calls", []))
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(memory | {"turns": [*memory["turns"], turn]}))
    return str(turn[-1]["content"])


if __name__ == "__main__":
    print(answer(sys.argv[2], session=sys.argv[1]))
