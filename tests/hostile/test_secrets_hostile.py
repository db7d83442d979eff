"""No content, key, header, or secret of a base URL is on any span, event or log line."""

from __future__ import annotations

import warnings

import pytest

from hostile.cases import (
    LOST,
    SDKS,
    SECRET,
    TALLY,
    check_case,
    creating,
    expect_traced,
    perform,
    plain_reply,
    request,
    shop,
)
from tokentrace import Guard, TokenLimitWarning

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::tokentrace.errors.TokenLimitWarning"
)

URLS = [
    f"http://user:{SECRET}@wire.test/",
    f"http://wire.test:8080/?key={SECRET}",
    f"http://{SECRET}:{SECRET}@wire.test/v1?api-key={SECRET}#x",
    "http://[::1]/",
    "http://wire.test:99/a//b/../c",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_base_url_with_secrets(sdk, url):
    """SE1: of the base URL host and port are told, nothing else."""
    seen = check_case(creating(request), shop(sdk, "sync", url), plain_reply(sdk))
    assert seen.call.server_address in {"wire.test", "::1"}


def secrets(kind):
    """Return a request with content in every place that has a name."""
    tool = {"type": "object", "properties": {SECRET: {"type": "string", "description": SECRET}}}
    tools = (
        [
            {
                "type": "function",
                "function": {"name": "probe", "description": SECRET, "parameters": tool},
            }
        ]
        if kind == "openai"
        else [{"name": "probe", "description": SECRET, "input_schema": tool}]
    )
    text = f'SYSTEM CONTEXT (JSON): {{"{SECRET}": "{SECRET}"}}\n# {SECRET}\n<{SECRET}>x</{SECRET}>\n## {SECRET}\n'
    return request(
        kind,
        tools=tools,
        messages=[{"role": "user", "content": text * 3}],
        extra_headers={"authorization": SECRET, "x-api-key": SECRET},
        extra_query={"key": SECRET},
        user=SECRET,
    ) if kind == "openai" else request(
        kind, tools=tools, messages=[{"role": "user", "content": text * 3}], system=f"{text}",
        extra_headers={"x-api-key": SECRET}, metadata={"user_id": SECRET}, stop_sequences=["STOP"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "guard", [None, Guard(limit=10), Guard(limit=10_000, components={"user": 1})]
)
@pytest.mark.parametrize("sdk", SDKS)
def test_no_content_leaves(sdk, guard):
    """SE1: no text, name out of user text, key or header is on a span, an event or a log line."""

    def arguments(kind):
        made = secrets(kind)
        made.pop("system", None)
        return made

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TokenLimitWarning)
        seen = check_case(creating(arguments), shop(sdk, "sync"), plain_reply(sdk), guard=guard)
    assert seen.call.tokens > 50
    assert not [one for one in caught if SECRET in str(one.message)]


def test_content_is_an_opt_in():
    """SE1: the check above can fail: with ``capture_content`` the text is there."""
    with pytest.raises(AssertionError), expect_traced(capture_content=True):
        perform(creating(request), shop("openai", "sync"), plain_reply("openai"))
    TALLY[LOST] -= 1  # it was to fail, so it is none of what the suite found
