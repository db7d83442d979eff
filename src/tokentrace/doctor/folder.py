"""The trace folder: whether it can be written, what lies in it, and what was lost on the way."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokentrace import _config, schema
from tokentrace.doctor.findings import Finding, fault, note, ok, warn
from tokentrace.doctor.machine import Machine
from tokentrace.doctor.traces import top
from tokentrace.fitting import BOUND, NEAR
from tokentrace.prompt import EXACT
from tokentrace.readers.sizes import TEXT_BOUND
from tokentrace.report import safe
from tokentrace.telemetry.losses import (
    CLOSED,
    FAILED,
    LEFT,
    METRICS_FULL,
    PRIVATE,
    QUEUE_FULL,
    SPAN_FULL,
    UNWRITTEN,
)

OURS_ALONE = 0o700
FULL = 2**20  # free bytes below which a disk is full for us
SCARCE = 64 * 2**20
ELSEWHERE = "set TOKENTRACE_DIR to another folder"

MENDS = {
    QUEUE_FULL: "spans came faster than they left: sample them, raise OTEL_BSP_MAX_QUEUE_SIZE, or "
    "give a faster disk or collector",
    FAILED: "look at the OTLP endpoint: OpenTelemetry's exporter logs why",
    UNWRITTEN: f"make the trace folder writable and its disk free, or {ELSEWHERE}",
    LEFT: "call tokentrace.uninstrument() before the process ends, and look at the endpoint",
    CLOSED: "call tokentrace.uninstrument() only after the last call and the last stream ended",
}
UNKNOWN = "report it"


# ── the folder ───────────────────────────────────────────────────────────────────────────────────


def writable(machine: Machine) -> Iterator[Finding]:
    """Write into the folder, or make one where it would be made, and take it away again."""
    place = next(path for path in (machine.folder, *machine.folder.parents) if path.exists())
    here = place == machine.folder
    shown = safe(str(machine.folder))
    facts: dict[str, Any] = {"folder": str(machine.folder), "exists": here}
    error = _refusal(place)
    if error:
        where = shown if here else f"{shown}: {safe(str(place))}"
        what = f"no trace can be written to {where}: {error}"
        mend = f"make it a folder that this user may write to, or {ELSEWHERE}"
        yield fault(what, mend, error=error, **facts)
    elif here:
        yield ok(f"{shown} can be written", **facts)
    else:
        yield note(f"{shown} does not exist yet; the first span makes it", **facts)


def _refusal(place: Path) -> str:
    """Return why nothing can be made in a folder; a file system's word, since root may do all."""
    if not place.is_dir():
        return "it is no folder"
    try:
        with TemporaryDirectory(prefix=".tokentrace-doctor-", dir=place) as made:
            (Path(made) / "x").write_bytes(b"x" * 4096)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def private(machine: Machine) -> Iterator[Finding]:
    """Find folders that others may read, or that are somebody else's."""
    if not machine.folder.is_dir():
        return
    facts = machine.folder.stat()
    mode = stat.S_IMODE(facts.st_mode)
    shown = safe(str(machine.folder))
    if facts.st_uid != os.getuid():
        what = f"{shown} belongs to user {facts.st_uid}, and this is user {os.getuid()}"
        mend = f"run agent and doctor as one user, or chown {os.getuid()} {shown}"
        yield warn(what, mend, owner=facts.st_uid, user=os.getuid())
    if mode & ~OURS_ALONE:
        what = f"{shown} may be entered by other users (mode {mode:04o})"
        yield warn(what, f"chmod 700 {shown}", mode=f"{mode:04o}")


def disk(machine: Machine) -> Iterator[Finding]:
    """Find a disk that is full."""
    place = next(path for path in (machine.folder, *machine.folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    mend = f"free some space, or {ELSEWHERE}"
    if free < FULL:
        yield fault(f"the disk of the trace folder is full ({free:,} bytes left)", mend, free=free)
    elif free < SCARCE:
        what = f"the disk of the trace folder is nearly full ({free >> 20:,} MiB left)"
        yield warn(what, mend, free=free)


def size(machine: Machine) -> Iterator[Finding]:
    """Say how much of its bound the folder holds."""
    if not machine.folder.is_dir():
        return
    from tokentrace.telemetry import local

    sizes = [size for _, size, _ in local.files(str(machine.folder))]
    total = sum(sizes)
    facts = {"files": len(sizes), "bytes": total, "bound": local.FOLDER_BYTES}
    if total > local.KEEP_BYTES - local.FILE_BYTES:
        what = f"{len(sizes):,} trace files of {total >> 20} MiB: the oldest are being removed"
        mend = f"move files away to keep them; the bound is {local.FOLDER_BYTES >> 20} MiB"
        yield warn(what, mend, **facts)
    elif sizes:
        many = f"{len(sizes):,} trace file{'s' if len(sizes) > 1 else ''}"
        yield ok(f"{many}, {total / 2**20:.1f} of {local.FOLDER_BYTES >> 20} MiB", **facts)


def damaged(machine: Machine) -> Iterator[Finding]:
    """Tell of lines and files that cannot be read."""
    found = machine.traces.problems
    if found.count:
        first = found.kept[0]
        what = f"{found.count:,} damaged record{'s' * (found.count > 1)}, first {safe(str(first))}"
        mend = "move the file out of the folder, or delete it"
        yield warn(what, mend, damaged=found.count, first=str(first))


# ── what it holds ────────────────────────────────────────────────────────────────────────────────


def records(machine: Machine) -> Iterator[Finding]:
    """Say what was recorded, and when last."""
    held = machine.traces
    spans = held.calls + held.others
    if not spans:
        yield from _nothing(machine)
        return
    age = time.time() - held.newest / 1e9
    facts = {"calls": held.calls, "spans": spans, "sessions": len(held.sessions), "age_s": int(age)}
    sessions = f"{len(held.sessions):,} named session{'' if len(held.sessions) == 1 else 's'}"
    what = f"{spans:,} spans, {held.calls:,} of them LLM calls, {sessions}, newest {_ago(age)}"
    yield ok(what, **facts)


def _nothing(machine: Machine) -> Iterator[Finding]:
    what = "nothing is recorded here yet"
    if _config.exporter("auto") != "local":
        yield note(f"{what}: spans go elsewhere")
    elif not machine.folder.exists():
        mend = "run the agent in this folder, with tokentrace.instrument() before its first call"
        yield note(what, mend)
    else:
        mend = "call tokentrace.instrument() before the first call, and end the process in order"
        yield note(f"{what}: {machine.traces.refused}", mend)


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count:,} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def estimates(machine: Machine) -> Iterator[Finding]:
    """Say how the recorded calls were counted."""
    methods = machine.traces.methods
    if methods:
        shares = ", ".join(f"{count:,} {method}" for method, count in methods.most_common())
        facts: dict[str, Any] = {"methods": dict(methods)}
        if set(methods) == {EXACT}:
            yield ok(f"counts: {shares}", **facts)
        else:
            yield note(f"counts: {shares}; each span bears its bound", **facts)


def limits(machine: Machine) -> Iterator[Finding]:
    """Find models whose limit nobody knows: the guard cannot warn of them."""
    yield from _calls(
        machine.traces.unlimited,
        "no limit is known, and no warning comes before it",
        "tell it: Guard(limit={{'{model}*': 100_000}}), or TOKENTRACE_LIMIT",
    )


def usage(machine: Machine) -> Iterator[Finding]:
    """Find calls that reported no usage, as OpenAI's streams do unless asked."""
    yield from _calls(
        machine.traces.unreported,
        "no usage was reported, so drift stays unknown",
        "ask streams for it: stream_options={{'include_usage': True}}, and read them to their end",
    )


def drift(machine: Machine) -> Iterator[Finding]:
    """Find exact counts that the provider contradicts."""
    yield from _calls(
        machine.traces.drifted,
        "counted as exact, and the provider reported another number",
        "report it with the shape of the request, see docs/accuracy.md",
        worse=True,
    )


def texts(machine: Machine) -> Iterator[Finding]:
    """Find texts that Tempo would cut: prompts, or attributes of others."""
    found = machine.traces.sizes
    if found.long:
        count = sum(found.long.values())
        named = ", ".join(safe(name, most=60) for name in top(found.long))
        what = (
            f"{count:,} text{'s' * (count > 1)} of more than {TEXT_BOUND:,} bytes ({named}; the "
            f"longest {found.longest:,}): Tempo cuts them by default, without a mark"
        )
        mend = "unset TOKENTRACE_ATTRIBUTE_BYTES, or raise Tempo's distributor.max_attribute_bytes"
        yield warn(what, mend, texts=count, longest=found.longest, names=top(found.long))


def large(machine: Machine) -> Iterator[Finding]:
    """Find traces that a back end takes in part only."""
    found = machine.traces.sizes
    near = [trace for trace, size in found.bytes.items() if size >= NEAR * BOUND]
    if near:
        first = max(near, key=found.bytes.__getitem__)
        many = f"{len(near):,} traces are" if len(near) > 1 else "a trace is"
        what = (
            f"{many} near the {BOUND:,} bytes that Tempo takes of one, or above; the largest, {safe(first)}, "
            f"holds {found.spans[first]:,} spans of about {found.bytes[first]:,} bytes"
        )
        mend = (
            "end the application's span that is open around the turns, so that each turn is a trace "
            "of its own; or raise Tempo's max_bytes_per_trace"
        )
        facts = {"trace": first, "spans": found.spans[first], "bytes": found.bytes[first]}
        yield warn(what, mend, traces=len(near), **facts)


def _calls(models: Counter[str], what: str, mend: str, *, worse: bool = False) -> Iterator[Finding]:
    if models:
        count = sum(models.values())
        named = ", ".join(safe(name, most=40) for name in top(models))
        told = f"{count:,} call{'s' * (count > 1)} ({named}): {what}"
        first = safe(next(iter(top(models))), most=40)
        form = warn if worse else note
        yield form(told, mend.format(model=first), calls=count, models=top(models))


# ── what was lost ────────────────────────────────────────────────────────────────────────────────


def dropped(machine: Machine) -> Iterator[Finding]:
    """Tell what was lost, by reason, summed over the processes that wrote here."""
    for reason, count in sorted(machine.traces.lost.get(schema.DROPPED, {}).items()):
        what = f"{count:,} span{'s' * (count > 1)} lost: {safe(reason)}"
        mend = f"{MENDS.get(reason, UNKNOWN)}; the number goes with its trace file"
        yield warn(what, mend, reason=reason, count=count)


def errors(machine: Machine) -> Iterator[Finding]:
    """Tell which of our own steps failed, or callbacks of the application."""
    for kind, count in sorted(machine.traces.lost.get(schema.INTERNAL_ERRORS, {}).items()):
        what = f"{count:,} internal error{'s' * (count > 1)}: {safe(kind)}"
        mend = "mend the callback"
        if not kind.startswith("callback"):
            mend = "run once with TOKENTRACE_STRICT=1 and report the traceback"
        yield warn(what, f"{mend}; the number goes with its trace file", kind=kind, count=count)


NAMED = {
    PRIVATE: "name the sections in instrument(sections=[...]) that may be told; tokentrace.count() shows all",
    SPAN_FULL: "put names of more than 24 parts under common ones: the rest is `other` on the span",
    METRICS_FULL: "let names not hold ids: metrics keep the first 64 of a process, spans keep all",
}
WITHOUT = {
    "text dropped for room": "tag less text a session, or end sessions: the oldest names went first",
    "text not found": "tag the text as it goes into the prompt: it was changed, cut or left out",
    "value without text": "tag texts, or lists and dicts of texts",
    "value too large": "tag smaller values: 10,000 nodes of one are looked at, 64 deep",
    "session": "more than 4,096 sessions, or 24 MB of them, at the same time: delta and trend begin anew",
    "lineage": "more conversations than are kept at the same time: name them with tokentrace.session()",
}


def folded(machine: Machine) -> Iterator[Finding]:
    """Tell how many names of components stand under a common one, and why."""
    for reason, count in sorted(machine.traces.lost.get(schema.FOLDED, {}).items()):
        what = f"{count:,} name{'s' * (count > 1)} of components told under a common one: {safe(reason)}"
        yield note(what, NAMED.get(reason, UNKNOWN), reason=reason, count=count)


def forgotten(machine: Machine) -> Iterator[Finding]:
    """Tell what processes no longer knew of their conversations, or never found in them."""
    for kind, count in sorted(machine.traces.lost.get(schema.FORGOTTEN, {}).items()):
        what = f"lost of conversations and named texts: {safe(kind)}, {count:,} times"
        yield note(what, WITHOUT.get(kind, UNKNOWN), kind=kind, count=count)
