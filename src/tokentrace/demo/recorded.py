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
    2: ((412, 0, 15), (698, 0, 59)),
    3: ((777, 0, 18), (985, 0, 45)),
    4: ((1049, 0, 20), (1350, 1024, 50)),
    5: ((1425, 1280, 44),),
    6: ((1791, 0, 46),),
    7: ((1996, 0, 17), (2210, 1920, 44)),
    8: ((2444, 0, 49),),
    9: ((2614, 0, 45),),
    10: ((2891, 0, 21), (3025, 2816, 49)),
    11: ((3093, 2944, 18), (3306, 3072, 48)),
    12: ((3551, 0, 41),),
    13: ((3287, 0, 25), (3665, 3200, 44)),
    14: ((3694, 0, 22), (3878, 3584, 51)),
    15: ((3947, 3840, 23), (4214, 3840, 48)),
    16: ((4277, 4096, 21), (4503, 4224, 46)),
    17: ((4481, 0, 13), (4690, 4352, 44)),
    18: ((3701, 0, 44),),
    19: ((3730, 0, 23), (3985, 3712, 50)),
    20: ((4050, 3968, 22), (4463, 3968, 49)),
    21: ((4022, 0, 13), (4176, 3968, 42)),
    22: ((4002, 0, 17), (4363, 3968, 49)),
    23: ((4693, 0, 21), (5043, 4608, 46)),
    24: ((4650, 0, 36),),
    25: ((4131, 3840, 17), (4317, 4096, 55)),
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
