"""Why tokentrace records nothing, too little, or wrong things, and the mend for each fault.

`CHECKS` is the table: a stable code, the function that looks, and what stands there when it finds
nothing. A function takes the `Machine` and yields findings; it changes nothing, and it contacts
nobody but a configured OTLP endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from tokentrace._failsafe import LOG, attempt
from tokentrace.doctor import environment, exporter, folder, installed, others, otlp, sdks
from tokentrace.doctor.findings import FAULT, Finding, fault, ok, warn
from tokentrace.doctor.machine import Machine

__all__ = ["CHECKS", "FAULT", "Finding", "Machine", "diagnose", "examine"]

Look = Callable[[Machine], Iterable[Finding]]
FAILED = fault(
    "this check failed itself", "run it with TOKENTRACE_STRICT=1 and report the traceback"
)

CHECKS: dict[str, tuple[Look, str]] = {
    "python": (installed.python, ""),
    "tokentrace": (installed.itself, ""),
    "library": (installed.libraries, "pip does not know which libraries are needed"),
    "vocabulary": (installed.vocabularies, ""),
    "sdk": (sdks.there, ""),
    "sdk.version": (sdks.versions, "installed SDKs are of tested versions"),
    "sdk.shadowed": (sdks.shadows, "no file stands in an SDK's way"),
    "sdk.import": (sdks.imports, "installed SDKs can be imported"),
    "sdk.place": (sdks.places, "every hook has its place"),
    "sdk.hook": (sdks.hooks, "no SDK to hook"),
    "sdk.unhooked": (sdks.strangers, "no SDK of another kind is installed"),
    "others": (others.present, "no other instrumentation of these SDKs is installed"),
    "others.import": (others.broken, "no other instrumentation is broken"),
    "exporter": (exporter.destination, ""),
    "otel.disabled": (exporter.disabled, "OpenTelemetry is not switched off"),
    "otel.sampler": (exporter.sampler, "every trace is sampled"),
    "otel.count": (exporter.counts, "spans have room for our attributes"),
    "otel.length": (exporter.lengths, "texts on spans are not cut"),
    "otel.ties": (exporter.ties, "spans have room for links and events"),
    "otel.batch": (exporter.batches, "the queue's settings can be used"),
    "otel.instrument": (exporter.agent, ""),
    "otlp.endpoint": (otlp.endpoints, "no OTLP endpoint is misspelled"),
    "otlp.path": (otlp.paths, "no OTLP endpoint has a wrong path"),
    "otlp.protocol": (otlp.protocols, "no OTLP endpoint is the other protocol's"),
    "otlp.reachable": (otlp.reachable, "no OTLP endpoint is set"),
    "otlp.headers": (otlp.headers, "no OTLP header is misspelled"),
    "otlp.package": (otlp.package, "no OTLP exporter is needed"),
    "env.value": (environment.values, "no TOKENTRACE_* variable is set"),
    "env.name": (environment.names, "no TOKENTRACE_* variable is unknown"),
    "env.strict": (environment.strictness, "our own errors stay away from the agent"),
    "env.content": (environment.content, "prompt text is not recorded"),
    "env.parent": (environment.parent, "no parent trace is in the way"),
    "env.session": (environment.session, "no session is handed down"),
    "folder": (folder.writable, ""),
    "folder.private": (folder.private, "no other user may read the trace folder"),
    "folder.disk": (folder.disk, "the disk has room"),
    "folder.size": (folder.size, "no trace file yet"),
    "folder.damaged": (folder.damaged, "no damaged record"),
    "records": (folder.records, ""),
    "records.count": (folder.estimates, "no call was counted yet"),
    "records.limit": (folder.limits, "every recorded call has a known limit"),
    "records.usage": (folder.usage, "every recorded call reported its usage"),
    "records.drift": (folder.drift, "no exact count was contradicted"),
    "records.text": (folder.texts, "no recorded text is longer than Tempo takes"),
    "records.trace": (folder.large, "no recorded trace is near what Tempo takes"),
    "lost.spans": (folder.dropped, "no process told of lost spans"),
    "lost.errors": (folder.errors, "no process told of internal errors"),
    "lost.names": (folder.folded, "no process told of names under a common one"),
    "lost.context": (folder.forgotten, "no process told of forgotten conversations or texts"),
}


def diagnose(machine: Machine) -> Iterator[Finding]:
    """Yield what all checks find, in the order of the table."""
    for code in CHECKS:
        yield from examine(code, machine)


def examine(code: str, machine: Machine) -> list[Finding]:
    """Return what one check finds; at least one finding."""
    look, fine = CHECKS[code]
    with _quiet():
        found = attempt(_found, look, machine, default=[FAILED]) or [ok(fine)]
    return [replace(one, code=code) for one in found]


def _found(look: Look, machine: Machine) -> list[Finding]:
    """Run a check; what is so broken that it cannot be looked at is a finding too."""
    try:
        return list(look(machine))
    except (ImportError, OSError, ValueError) as error:
        what = f"this could not be looked at: {type(error).__name__}: {error}"
        return [warn(what, "mend what is broken elsewhere; report it if this stays")]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep our own log still: what it would say, the findings say."""
    before, LOG.disabled = LOG.disabled, True
    try:
        yield
    finally:
        LOG.disabled = before
