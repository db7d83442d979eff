"""Which address a URL means, and whether it may be asked: what is checked is what is connected to."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from tokentrace.errors import InputError

PORTS = {"http": 80, "https": 443}
EXAMPLES = {"jaeger": "jaeger:http://localhost:16686", "tempo": "tempo:http://localhost:3200"}
EMBEDDED = IPv6Network("64:ff9b::/96")  # IPv4 addresses as NAT64 writes them (RFC 6052)
ALLOW = "give --allow-private if it is meant"

Address = IPv4Address | IPv6Address
Found = tuple[int, tuple[Any, ...]]  # a family and an address, as sockets take them


@dataclass(frozen=True, slots=True)
class Place:
    """A back end.

    Attributes:
        kind: ``jaeger`` or ``tempo``.
        base: of its paths, without a slash at the end.
        login: ``user:password`` from the URL, empty for none; never shown.
    """

    kind: str
    scheme: str
    host: str
    port: int
    base: str = ""
    login: str = field(default="", repr=False)

    @property
    def origin(self) -> str:
        """Host and port, as in a header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Return how it is called in messages."""
        return f"{self.kind}:{self.scheme}://{self.origin}{self.base}"


def place(path: str) -> Place:
    """Return what ``jaeger:http://host:port/base`` means.

    Raises:
        InputError: it is no such URL.
    """
    kind, _, url = path.partition(":")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    shown = f"{kind}:{url.rpartition('@')[2]}"
    if not host or parts.scheme not in PORTS or port == 0:
        raise InputError("no URL with http or https and a host", source=shown, mend=_like(kind))
    if parts.query or parts.fragment:
        raise InputError("a URL with a query", source=shown.partition("?")[0], mend=_like(kind))
    login = unquote(parts.netloc.rpartition("@")[0])
    base = parts.path.rstrip("/")
    return Place(kind, parts.scheme, host, port or PORTS[parts.scheme], base, login)


def _like(kind: str) -> str:
    return f"write it like {EXAMPLES[kind]}"


def allowed(place: Place, timeout: float, *, private: bool) -> list[Found]:
    """Return the addresses of a place that may be connected to.

    Loopback is allowed where it was written as such; what leads into a private network, to a
    machine's own metadata or to many at once only where the user said so.

    Raises:
        InputError: nobody knows the host, or none of its addresses may be asked.
    """
    found = _resolved(place, timeout)
    typed = place.host == "localhost" or place.host.endswith(".localhost") or _loopback(place.host)
    kept = [
        one
        for one in found
        if private or _public(_address(one)) or (typed and _loopback(one[1][0]))
    ]
    if not kept:
        shown = found[0][1][0]
        where = f"{shown} is" if shown == place.host else f"{place.host} is {shown},"
        text = f"{where} an address of a private or local network"
        raise InputError(text, source=str(place), mend=ALLOW)
    return kept


def _resolved(place: Place, timeout: float) -> list[Found]:
    """Return the addresses of a host; a resolver that hangs is left behind."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.append(error)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    if not answers:
        raise InputError(f"no answer from the resolver in {timeout:g} s", source=str(place))
    if not isinstance(answers[0], list) or not answers[0]:
        raise InputError("no such host", source=str(place), mend="check the URL")
    return [(family, address) for family, _, _, _, address in answers[0]]


def _address(found: Found) -> Address:
    return ip_address(str(found[1][0]).partition("%")[0])


def _loopback(host: Any) -> bool:
    try:
        address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    # Only since Python 3.13 is an IPv4 address that IPv6 carries taken for what it carries.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def _public(address: Address) -> bool:
    """Whether an address, and any that it carries within, is one of the open internet."""
    if isinstance(address, IPv6Address):
        low = IPv4Address(int(address) & 0xFFFFFFFF) if address in EMBEDDED else None
        teredo = address.teredo or ()
        for inner in (address.ipv4_mapped, address.sixtofour, low, *teredo):
            if inner is not None and not _public(inner):
                return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast
