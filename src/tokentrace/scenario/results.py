"""A run written down for machines: one JSON document, and JUnit for a CI server.

Numbers, known words and the scenario's own names; nothing that the agent said.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree as ET

from tokentrace.analysis import Finding, Turn
from tokentrace.analysis.findings import HEALTHY
from tokentrace.report import safe
from tokentrace.scenario.driving import OK
from tokentrace.scenario.judging import Result
from tokentrace.scenario.running import Judged, Run

VERSION = 1
LONGEST = 10_000  # characters of a message; those that XML forbids are left out


def document(run: Run) -> str:
    """Return a run as one JSON document."""
    known = {
        "version": VERSION,
        "scenario": run.scenario.name,
        "folder": run.folder,
        "verdict": run.verdict,
        "sessions": [_session(one) for one in run.sessions],
    }
    return json.dumps(known, indent=2) + "\n"


def _session(judged: Judged) -> dict[str, Any]:
    turns = {turn.number: turn for turn in judged.session.turns}
    return {
        "id": judged.id,
        "verdict": judged.judgement.verdict,
        "findings": [asdict(finding) for finding in judged.judgement.findings],
        "turns": [
            _turn(result, turns.get(result.number, Turn(result.number)))
            for result in judged.results
        ],
    }


def _turn(result: Result, turn: Turn) -> dict[str, Any]:
    share = turn.utilization
    return {
        "number": result.number,
        "phase": result.phase,
        "state": result.state,
        "reason": result.reason,
        "seconds": result.seconds,
        "calls": len(turn.calls),
        "total": turn.total,
        "delta": turn.delta,
        "trend": turn.trend,
        "limit": turn.limit,
        "utilization": None if share is None else round(share, 6),
        "components": dict(turn.components),
        "expectations": dict(result.checks),
    }


def junit(run: Run) -> bytes:
    """Return a run as JUnit XML: a suite for each session, a case for each turn and each finding."""
    root = ET.Element("testsuites", name=f"tokentrace scenario {run.scenario.name}")
    for judged in run.sessions:
        _suite(root, run.scenario.name, judged)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(root: ET.Element, name: str, judged: Judged) -> None:
    results, findings = judged.results, judged.judgement.findings
    bad = [finding for finding in findings if finding.level != HEALTHY]
    suite = ET.SubElement(
        root,
        "testsuite",
        name=judged.id,
        tests=str(len(results) + len(findings)),
        failures=str(sum(not result.passed for result in results) + len(bad)),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        _case(suite, name, result)
    for finding in findings:
        _finding(suite, name, finding)


def _case(suite: ET.Element, name: str, result: Result) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=f"{name}.{safe(result.phase)}", name=f"turn {result.number:02}",
        time=f"{result.seconds:.3f}",
    )  # fmt: skip
    if result.passed:
        return
    unmet = ", ".join(key for key, met in result.checks.items() if not met)
    text = result.reason if result.state != OK else f"not met: {unmet}"
    ET.SubElement(case, "failure", message=safe(text, LONGEST), type=result.state)


def _finding(suite: ET.Element, name: str, finding: Finding) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"{name}.findings", name=finding.code)
    if finding.level != HEALTHY:
        failure = ET.SubElement(
            case, "failure", message=safe(finding.message, LONGEST), type=finding.level
        )
        failure.text = safe(finding.remedy, LONGEST)
