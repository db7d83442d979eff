"""What the model of the demo reports: fixed numbers that nothing in here computes.

No request of the demo ever went to OpenAI. Prompt tokens are what its bodies cost by the rules that
fit OpenAI's recorded usage for gpt-5 with tools, taken down on 2026-11-22 with a script of its own.
One rule is not independent of our counter: a call's name is counted as ``.name``, in both. Cached
tokens are the common prefix with the request before, in steps of 128 from 1,024 on. One turn drifts
on purpose, see `DRIFTING`. Who changes the script must record anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokentrace.demo.script import answer
from tokentrace.demo.server import Reply

# In this turn the provider reports 57 tokens that no body explains, as providers do when they add
# text of their own. The report must show them, not hide them.
DRIFTING = 18

# turn: (prompt, cached, completion) tokens for each of its requests
USAGE: dict[int, tuple[tuple[int, int, int], ...]] = {
    1: ((429, 0, 12), (568, 0, 77)),
    2: ((667, 0, 15), (960, 0, 59)),
    3: ((1041, 0, 18), (1256, 1024, 45)),
    4: ((1322, 1152, 20), (1630, 1280, 50)),
    5: ((1707, 1536, 44),),
    6: ((2075, 0, 46),),
    7: ((2282, 0, 17), (2503, 2176, 44)),
    8: ((2739, 0, 49),),
    9: ((2911, 0, 45),),
    10: ((3190, 0, 21), (3331, 3072, 49)),
    11: ((3401, 3328, 18), (3620, 3328, 48)),
    12: ((3867, 0, 41),),
    13: ((3605, 0, 25), (3989, 3584, 44)),
    14: ((4020, 0, 22), (4211, 3968, 51)),
    15: ((4282, 4096, 23), (4555, 4224, 48)),
    16: ((4620, 4480, 21), (4853, 4608, 46)),
    17: ((4833, 0, 13), (5048, 4736, 44)),
    18: ((3847, 0, 44),),
    19: ((3878, 0, 23), (4140, 3840, 50)),
    20: ((4207, 4096, 22), (4627, 4096, 49)),
    21: ((4188, 0, 13), (4348, 4096, 42)),
    22: ((4176, 0, 17), (4544, 4096, 49)),
    23: ((4876, 0, 21), (5233, 4864, 46)),
    24: ((4796, 0, 36),),
    25: ((4279, 3968, 17), (4471, 4224, 55)),
}


def reply(body: Mapping[str, Any]) -> Reply | None:
    """Return the recorded reply to a request body, or None where it is none of the demo's."""
    messages = body.get("messages")
    found = answer(messages) if isinstance(messages, list) else None
    if found is None:
        return None
    tool = (found.call.tool, found.call.arguments) if found.call else None
    prompt, cached, completion = USAGE[found.turn][found.step]
    return Reply(found.text, tool, prompt=prompt, cached=cached, completion=completion)
