"""Look at what is installed: known holes, licences. ``python scripts/audit.py`` in the environment to look at.

Known holes are asked of an advisory database over the network, by pip-audit. Where none answers that is
said, and does not fail: the rest needs no network.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import Distribution, distributions

# What a licence's name or classifier has in it that may go along with Apache-2.0 code.
KNOWN = (
    "apache",
    "mit",
    "bsd",
    "isc",
    "psf",
    "python software",
    "mpl",
    "mozilla",
    "unlicense",
    "zlib",
)
# Of these the metadata names none; looked up 2026-11-30.
SAID: dict[str, str] = {}
UNREACHED = ("ConnectionError", "ConnectionRefused", "Max retries", "timed out", "ServiceError", "NameResolution", "ProxyError", "SSLError", "HTTPError")  # fmt: skip
UNSEEN = "could not be audited"


def licence(found: Distribution) -> str:
    """Return what a distribution says of its licence: the expression, its text's begin, classifiers."""
    told = found.metadata
    classified = [one for one in told.get_all("Classifier") or [] if one.startswith("License")]
    name = str(told["Name"]).lower()
    return " ".join((told.get("License-Expression") or "", (told.get("License") or "")[:200], *classified, SAID.get(name, "")))  # fmt: skip


def unknown() -> list[str]:
    """Return the packages whose licence is none that is known here."""
    return sorted(
        f"{found.metadata['Name']} {found.version}: {licence(found).strip()[:80] or 'no licence named'}"
        for found in distributions()
        if not any(one in licence(found).lower() for one in KNOWN)
    )


def holes() -> tuple[bool, str]:
    """Return whether what is installed has known holes, and what is to be told of it."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--progress-spinner",
        "off",
        "--timeout",
        "10",
        "--skip-editable",
    ]
    try:
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return False, "no advisory database answered: known holes were not looked up"
    if any(one in ran.stderr for one in UNREACHED):
        return False, "no advisory database can be reached: known holes were not looked up"
    unseen = ran.stdout.count(UNSEEN)
    if unseen * 2 > len(list(distributions())):  # an index that serves packages and no advisories
        return (
            False,
            f"the database knows nothing of {unseen} packages: known holes were not looked up",
        )
    return ran.returncode != 0, ran.stdout + ran.stderr


def main() -> None:
    """Print all of it; fail where something is wrong."""
    strangers = unknown()
    print(
        "\n".join(strangers)
        or f"{len(list(distributions()))} packages, each with a licence that is known"
    )
    broken, told = holes()
    print(told)
    sys.exit(bool(strangers or broken))


if __name__ == "__main__":
    main()
