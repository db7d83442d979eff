"""How the command line judges: thresholds and phases of options and pyproject.toml, and exit codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokentrace.analysis import Phase, Thresholds, thresholds
from tokentrace.analysis.findings import DEGRADED, VERDICTS, gravity
from tokentrace.cli import project
from tokentrace.errors import InputError

NEVER = "never"
FAIL_ON = (*VERDICTS[VERDICTS.index(DEGRADED) :], NEVER)
DEFAULT = "failing"
KNOWN = ("fail-on", "thresholds", "phases")  # settings in the project's file


@dataclass(frozen=True, slots=True)
class Judging:
    """By what is judged, and from which verdict on the exit code is 1."""

    thresholds: Thresholds
    phases: tuple[Phase, ...]
    fail_on: str

    def code(self, verdict: str) -> int:
        """Return the exit code of a verdict."""
        if self.fail_on == NEVER:
            return 0
        return int(gravity(verdict) >= gravity(self.fail_on))


def judging(given: Sequence[str], phases: Sequence[str], fail_on: str) -> Judging:
    """Return what options say, over what the project's file says.

    Args:
        given: ``NAME=VALUE`` of thresholds.
        phases: ``NAME=FIRST-LAST`` of phases.
        fail_on: a verdict, ``never``, or empty for what the file says.

    Raises:
        InputError: a name that is none, a value that is out of its range.
    """
    held, source = project.settings()
    if unknown := held.keys() - KNOWN:
        mend = f"known are {', '.join(KNOWN)}"
        raise InputError(f"no setting {min(unknown)!r:.60}", source=source, mend=mend)
    told = project.table(held, "thresholds", source)
    thresholds(told, source)
    known = thresholds({**told, **_pairs(given, "--threshold")}, "--threshold")
    named = _pairs(phases, "--phase")
    found = (
        _phases(named, "--phase")
        if named
        else _phases(project.table(held, "phases", source), source)
    )
    wanted = fail_on or str(held.get("fail-on", DEFAULT))
    if wanted not in FAIL_ON:
        raise InputError(
            f"no verdict {wanted!r:.60} to fail on",
            source="--fail-on" if fail_on else source,
            mend=", ".join(FAIL_ON),
        )
    return Judging(known, found, wanted)


def _pairs(given: Iterable[str], source: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for name, sign, value in pairs:
        if not (sign and name.strip() and value.strip()):
            raise InputError(f"{name + sign + value!r:.80} is no NAME=VALUE", source=source)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _phases(given: Mapping[str, Any], source: str) -> tuple[Phase, ...]:
    """Return phases by name and ``FIRST-LAST``, or one turn.

    Raises:
        InputError: no numbers, or the last before the first.
    """
    found = []
    for name, told in given.items():
        first, sign, last = str(told).partition("-")
        try:
            phase = Phase(name, int(first), int(last if sign else first))
        except ValueError:
            phase = None
        if phase is None or phase.last < phase.first:
            text = f"phase {name!r:.60} is {str(told)!r:.60}, not two turns such as 6-12"
            raise InputError(text, source=source)
        found.append(phase)
    return tuple(found)
