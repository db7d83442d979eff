"""The machine that is examined: everything is probed when it is first asked for, and once."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokentrace import _config
from tokentrace.doctor import children

if TYPE_CHECKING:
    from tokentrace.doctor.traces import Traces

PATIENCE = 60.0
CONNECT = 2.0
AT_ONCE = 2
# A limit that is no number ends the import of OpenTelemetry, strictness the first error of ours:
# checks of their own tell of them, and children go without.
LIMITS = re.compile(r"OTEL_\w+_LIMIT")
STRICT = "TOKENTRACE_STRICT"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a child found out about an SDK.

    Attributes:
        error: why the SDK cannot be imported; empty where it can.
        facts: what the child said, see `doctor.probe.sdk`.
    """

    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Machine:
    """This machine, as seen from this process.

    Args:
        sdks: the SDKs to look at; None is all that can be hooked.
        patience: seconds that an import may take.

    Attributes:
        environ: a copy of the environment.
        folder: the trace folder, absolute.
        sdks: names of SDKs, in the order of the hooks.
    """

    def __init__(self, sdks: Sequence[str] | None = None, patience: float = PATIENCE) -> None:
        self.environ = _config.environment()
        self.folder = Path(_config.folder()).absolute()
        self.patience = patience
        self._chosen = sdks
        self._probes: dict[str, Future[Probe]] = {}
        self._imports: dict[str, str] = {}

    # ── settings ─────────────────────────────────────────────────────────────────────────────

    def text(self, name: str) -> str:
        """Return a variable's text without surrounding white space, empty where it is not set."""
        return self.environ.get(name, "").strip()

    # ── packages ─────────────────────────────────────────────────────────────────────────────

    @cached_property
    def sdks(self) -> tuple[str, ...]:
        """The SDKs that tokentrace hooks."""
        from tokentrace.instrument.hooks import HOOKS

        return tuple(self._chosen or dict.fromkeys(hook.sdk for hook in HOOKS))

    def version(self, name: str) -> str:
        """Return a distribution's version, empty where it is not installed."""
        try:
            return distribution(name).version
        except PackageNotFoundError:
            return ""

    @property
    def installed(self) -> tuple[str, ...]:
        """The SDKs that are here."""
        return tuple(sdk for sdk in self.sdks if self.version(sdk))

    def probe(self, sdk: str) -> Probe:
        """Return what a child found out about an SDK; all SDKs are probed side by side."""
        if not self._probes:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                self._probes = {name: pool.submit(self._probe, name) for name in self.installed}
        return self._probes[sdk].result()

    def _probe(self, sdk: str) -> Probe:
        said, error = children.run(["sdk", sdk], self._variables, self.patience)
        facts = {key: value for known in said for key, value in known.items()}
        return Probe(error, facts)

    def imports(self, names: Iterable[str]) -> dict[str, str]:
        """Return of each module why it cannot be imported, empty where it can."""
        wanted = list(dict.fromkeys(names))
        new = [name for name in wanted if name not in self._imports]
        self._imports |= children.imports(new, self._variables, self.patience)
        return {name: self._imports[name] for name in wanted}

    @property
    def _variables(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self.environ.items()
            if name != STRICT and not LIMITS.fullmatch(name)
        }

    # ── network and files ────────────────────────────────────────────────────────────────────

    def connect(self, host: str, port: int) -> str:
        """Open and close a connection; return an empty text, or why there is none."""
        try:
            socket.create_connection((host, port), CONNECT).close()
        except OSError as error:
            return error.strerror or str(error) or type(error).__name__
        return ""

    @cached_property
    def traces(self) -> Traces:
        """What the trace folder holds."""
        from tokentrace.doctor import traces

        return traces.read(str(self.folder))
