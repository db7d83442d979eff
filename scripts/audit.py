"""Look at what is installed: known holes, licences. ``python scripts/audit.py`` in the environment to look at.

Known holes are asked of an advisory database over the network, by pip-audit. Where none answers that is
said, and does not fail: the rest needs no network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from typing import Any

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
ASK = ("pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "10", "--skip-editable")  # fmt: skip
PATIENCE = 120  # seconds


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


def answer() -> list[dict[str, Any]]:
    """Return what the advisory database says of each package; nothing where none can be asked."""
    try:
        ran = subprocess.run(
            [sys.executable, "-m", *ASK],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        told = json.loads(ran.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return []
    return told.get("dependencies") or [] if isinstance(told, dict) else []


def holes(told: list[dict[str, Any]]) -> tuple[bool, str]:
    """Return whether an answer names known holes, and what is to be said of it."""
    known = [
        f"{one['name']} {one.get('version', '')}: {hole.get('id')}, mended in {', '.join(hole.get('fix_versions', ())) or 'no version'}"
        for one in told
        for hole in one.get("vulns", ())
    ]
    if known:
        return True, "\n".join(known)
    unseen = sum("skip_reason" in one for one in told)
    if not told or unseen * 2 > len(told):  # an index that serves packages and no advisories
        return (
            False,
            f"known holes were not looked up: no advisory database answers for {unseen or 'any'} packages",
        )
    return False, f"{len(told) - unseen} packages, none with a known hole"


def main() -> None:
    """Print all of it; fail where something is wrong."""
    strangers = unknown()
    print(
        "\n".join(strangers)
        or f"{len(list(distributions()))} packages, each with a licence that is known"
    )
    broken, told = holes(answer())
    print(told)
    sys.exit(bool(strangers or broken))


if __name__ == "__main__":
    main()
