"""What every test gets: a clean process, a folder of its own, strictness, and no way out of it."""

from __future__ import annotations

import functools
import importlib
import ipaddress
import operator
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Coverage of a child would slow its start by seconds, which some tests measure.
OURS = ("TOKENTRACE_", "OTEL_", "COVERAGE_PROCESS")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

# What a test may leave behind, in the order in which it is undone. Only loaded modules are asked.
RESETS = {
    "tokentrace.instrument": ("uninstrument",),
    "tokentrace.instrument.state": ("templates.__init__",),
    "tokentrace.telemetry": ("reset",),
    "tokentrace.telemetry.peers": ("_told.clear",),
    "tokentrace.context": ("reset",),
    "tokentrace.turns": ("reset",),
    "tokentrace.guard": ("reset",),
    "tokentrace.instrument.asking": ("DESK.clear",),
    "tokentrace.counting.stored": ("STORED.clear",),
    "tokentrace.counting.factors": ("FACTORS.clear",),
    "tokentrace.instrument.factor_file": ("reset",),
    "tokentrace.counting.store": ("STORE.clear",),
    "tokentrace._failsafe": ("reset",),
}

if sys.version_info < (3, 12) and sys.gettrace():
    # Under coverage each thread installs a trace function. filelock's audit hook lets other threads
    # in while one is being installed, and CPython 3.11 then refuses theirs: RuntimeError in a thread.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "addaudithook", lambda _: None)
        with suppress(ImportError):
            importlib.import_module("filelock")

# The first example of a property may load a vocabulary, and a machine may be loaded: neither is timed.
settings.register_profile(
    "patient",
    parent=settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")


def undo() -> None:
    """Take back what a test did to the process."""
    for module, names in RESETS.items():
        if module in sys.modules:
            for name in names:
                operator.attrgetter(name)(sys.modules[module])()


@pytest.fixture(autouse=True)
def clean_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run each test with our defaults, its own trace folder, and our errors raised."""
    for name in tuple(os.environ):
        if name.startswith(OURS) or name.upper() in (*PROXIES, "TRACEPARENT"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TOKENTRACE_STRICT", "1")
    monkeypatch.setenv("TOKENTRACE_COSTS", "0")  # half a second of each child, and later attributes
    monkeypatch.setenv("TOKENTRACE_DIR", str(tmp_path / "traces"))
    yield
    undo()


@pytest.fixture(autouse=True, scope="session")
def certificates_once() -> Iterator[None]:
    """Load the certificates of authorities once: no test speaks TLS, and each client takes 0.1 s for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ssl, "create_default_context", functools.lru_cache(64)(ssl.create_default_context)
        )
        yield


def is_loopback(address: Any) -> bool:
    """Whether a socket address leads to this machine; paths of Unix sockets do."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection and look-up that would leave this machine."""

    def guarded(real: Any) -> Any:
        def connect(self: Any, address: Any) -> Any:
            assert is_loopback(address), f"a test tried to reach {address!r}"
            return real(self, address)

        return connect

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
