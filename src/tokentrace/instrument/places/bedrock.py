"""``_make_api_call(operation_name, api_params)`` of botocore's clients: Bedrock's calls among all others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tokentrace._shapes.text import decoded
from tokentrace.instrument.asking import COUNT_CALLS
from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.requests import Request
from tokentrace.instrument.unread import follow
from tokentrace.providers.generated import REGION

SERVICE = "bedrock-runtime"
CONVERSE, INVOKE = "bedrock.converse", "bedrock.invoke"
# api and whether its answer is a stream, by the operation's name
OPERATIONS = {
    "Converse": (CONVERSE, False),
    "ConverseStream": (CONVERSE, True),
    "InvokeModel": (INVOKE, False),
    "InvokeModelWithResponseStream": (INVOKE, True),
}
MODEL, BODY = "modelId", "body"


def read(hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
    """Read the arguments; any other service's call costs a look-up."""
    del kwargs
    api, stream = OPERATIONS.get(args[0], ("", False)) if len(args) > 1 else ("", False)
    if not api or client.meta.service_model.service_name != SERVICE:
        return None
    params = args[1]
    body = _inside(params) if api == INVOKE else params
    if body is None:
        return None

    def replace(new: dict[str, Any]) -> None:
        given = new if body is params else _wrapped(params, new)
        params.clear()
        params.update(given)

    return Request(
        hook.sdk,
        api,
        body,
        "bedrock",
        client.meta.endpoint_url,
        stream,
        replace,
        follow=follow,
        ask=_count_call(client, params.get(MODEL), api),
    )


def _count_call(client: Any, model: Any, api: str) -> Callable[[Mapping[str, Any]], Any] | None:
    """Return what asks for a count through the client; None where its botocore knows no such call."""
    operation = COUNT_CALLS[api].at
    if operation not in client.meta.service_model.operation_names or not isinstance(model, str):
        return None

    def ask(body: Mapping[str, Any]) -> Any:
        kind, given = "converse", dict(body)
        if api == INVOKE:
            kind, given = "invokeModel", {BODY: _wrapped({}, body)[BODY]}
        asked = {MODEL: _counted_as(model), "input": {kind: given}}
        return client._make_api_call(operation, asked)  # noqa: SLF001 - where the hook stands

    return ask


def _counted_as(model: str) -> str:
    """Return the model behind an inference profile, which is what the count call knows.

    It refuses the profile's own name (seen by two other projects, 2025-11 and 2026-06).
    """
    name = model.rpartition("inference-profile/")[2]
    return re.sub(f"^{REGION}", "", name)


def _inside(params: dict[str, Any]) -> Mapping[str, Any] | None:
    """Return the JSON of a body with the model, the arguments as they are where it is none.

    A body that can be read only once is left alone, and so is its call.
    """
    given = params.get(BODY)
    if hasattr(given, "read"):
        given = _peeked(given)
    if given is None:
        return None
    found = decoded(bytes(given) if isinstance(given, memoryview) else given)
    return {**found, MODEL: params.get(MODEL)} if isinstance(found, Mapping) else params


def _peeked(file: Any) -> Any:
    """Return what is in a file from where it stands, and put it back there."""
    if not file.seekable():
        return None
    place = file.tell()
    try:
        return file.read()
    finally:
        file.seek(place)


def _wrapped(params: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with the JSON of a body put into them."""
    import json

    inner = {key: value for key, value in new.items() if key != MODEL}
    return {**params, MODEL: new.get(MODEL, params.get(MODEL)), BODY: json.dumps(inner).encode()}
