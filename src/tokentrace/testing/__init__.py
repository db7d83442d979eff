"""What tokentrace's own tests use, for yours.

`capture` collects the records of the calls made inside it; `assert_within` and `assert_healthy` judge
them. `Wire` answers an SDK's requests in this process, so that the real SDK runs over a fake
provider. `Clock` is time that stands still.

    with tokentrace.testing.capture() as captured:
        run_my_agent()
    tokentrace.testing.assert_within(captured, max_total=8_000, max_component={"history": 3_000})

The same comes as a pytest plugin: the fixture ``tokentrace_session`` and the mark ``token_budget``.
"""

from __future__ import annotations

from tokentrace.testing.budgets import TokenBudget, assert_healthy, assert_within
from tokentrace.testing.capturing import Captured, Clock, capture
from tokentrace.testing.wire import (
    Reply,
    Sent,
    Wire,
    anthropic_message,
    anthropic_stream,
    http_library,
    openai_chat,
    openai_chat_stream,
)

__all__ = [
    "Captured",
    "Clock",
    "Reply",
    "Sent",
    "TokenBudget",
    "Wire",
    "anthropic_message",
    "anthropic_stream",
    "assert_healthy",
    "assert_within",
    "capture",
    "http_library",
    "openai_chat",
    "openai_chat_stream",
]
