"""Write the tables of ``docs/providers.md`` anew from the table of hooks.

    python scripts/providers_table.py [--page FILE]

One table has the SDKs with the versions that were run, the other the places where tokentrace stands in
them. Both stand between markers in the page; nothing else is touched.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from accuracy_table import between, table
from tokentrace.instrument.hooks import HOOKS, ITEMS, OWN_SPAN, SDKS, Hook

PAGE = Path(__file__).parents[1] / "docs" / "providers.md"
ASYNC = re.compile(r"[Aa]sync|Aio|__anext__|^a(completion|embedding)\.")
# Places through which streams do not pass, or nothing but streams.
PLAIN = re.compile(r"HttpClient\.request|ApiClient\.(async_)?request|embedding\.")
STREAM = re.compile(r"HttpClient\.stream|_streamed$|__a?next__")
# Places where not all passes that their SDK sends.
ONLY = (
    (re.compile(r"embedding\."), "openai.embeddings"),
    (re.compile(r"litellm"), "openai.chat"),
    (re.compile(r"google\.genai\._gaos"), "gemini.interactions"),
    (re.compile(r"google\.genai"), "gemini.generateContent"),
)


def sdks() -> str:
    """Return the table of SDKs, the versions that were run, and what their calls are read as."""
    head = ("SDK", "versions run, oldest first", "read as", "why no older")
    rows = [(f"`{sdk.name}`", ", ".join(sdk.run), named(sdk.apis), sdk.why) for sdk in SDKS]
    return table(head, rows, numbers=False)


def hooks() -> str:
    """Return the table of places, how their calls are made, and what passes there."""
    known = {sdk.name: sdk for sdk in SDKS}
    head = ("SDK", "module", "place", "calls", "passes", "read as", "versions run")
    rows = [
        (
            f"`{hook.sdk}`",
            f"`{hook.module}`",
            f"`{hook.attr}`",
            "async" if ASYNC.search(hook.attr) else "sync",
            passes(hook),
            named(apis(hook, known[hook.sdk].apis)),
            versions(hook, known[hook.sdk].run),
        )
        for hook in HOOKS
    ]
    return table(head, rows, numbers=False)


def named(names: Sequence[str]) -> str:
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in names)


def apis(hook: Hook, every: Sequence[str]) -> Sequence[str]:
    """Return what the calls at a place are read as."""
    if hook.reader == OWN_SPAN:
        return ()
    place = f"{hook.module}:{hook.attr}"
    return next(((api,) for pattern, api in ONLY if pattern.search(place)), every)


def versions(hook: Hook, run: Sequence[str]) -> str:
    """Return the first and the last of the versions that were run which have a place."""
    first, last = hook.since or run[0], hook.until or run[-1]
    return first if first == last else f"{first} to {last}"


def passes(hook: Hook) -> str:
    """Return what goes through a place."""
    if hook.reader == OWN_SPAN:
        return "the SDK's own span"
    if hook.reader == ITEMS:
        return "items of streams"
    if STREAM.search(hook.attr):
        return "streams"
    return "plain" if PLAIN.search(hook.attr) else "plain, streams"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    page = options.page.read_text("utf-8")
    page = between(page, "sdks", sdks())
    page = between(page, "hooks", hooks())
    options.page.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
