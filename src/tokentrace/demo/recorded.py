"""What the model of the demo reports: a recording, fixed, so that our own counter cannot agree with itself.

Prompt tokens follow OpenAI's rules for gpt-4.1 with tools, taken down on 2026-11-22 from the bodies
that the demo sends; cached tokens are the common prefix with the request before, in steps of 128
from 1,024 on. One turn drifts on purpose, see `DRIFTING`.
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
    1: ((346, 0, 46),),
    2: ((412, 0, 15), (699, 0, 59)),
    3: ((778, 0, 18), (987, 0, 45)),
    4: ((1051, 0, 20), (1353, 1024, 50)),
    5: ((1428, 1280, 44),),
    6: ((1794, 0, 46),),
    7: ((1999, 0, 17), (2214, 1920, 44)),
    8: ((2448, 0, 49),),
    9: ((2618, 0, 45),),
    10: ((2895, 0, 21), (3030, 2816, 49)),
    11: ((3098, 2944, 18), (3311, 3072, 48)),
    12: ((3556, 0, 41),),
    13: ((3292, 0, 25), (3670, 3200, 44)),
    14: ((3699, 0, 22), (3884, 3584, 51)),
    15: ((3953, 3840, 23), (4220, 3840, 48)),
    16: ((4283, 4096, 21), (4510, 4224, 46)),
    17: ((4488, 0, 13), (4697, 4480, 44)),
    18: ((3704, 0, 44),),
    19: ((3733, 0, 23), (3989, 3712, 50)),
    20: ((4054, 3968, 22), (4468, 3968, 49)),
    21: ((4027, 0, 13), (4181, 3968, 42)),
    22: ((4007, 0, 17), (4369, 3968, 49)),
    23: ((4699, 0, 21), (5050, 4608, 46)),
    24: ((4655, 0, 36),),
    25: ((4136, 3840, 17), (4322, 4096, 55)),
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
