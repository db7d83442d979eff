"""Chromium without a window, and the page of a session of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from zlib import crc32

import pytest

from tokentrace import analysis, schema
from tokentrace.analysis.findings import Finding, Judgement
from tokentrace.prompt import CallRecord, Detail, Event, Usage
from tokentrace.report import html

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FOUND = next(filter(None, map(shutil.which, NAMES)), None)
MINUTE = 10**9 * 60
BEGIN = 1_760_000_000 * 10**9


@pytest.fixture(scope="session")
def chromium():
    driving = pytest.importorskip("playwright.sync_api", reason="no playwright: nox -s browser")
    if FOUND is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with driving.sync_playwright() as driver:
        # the sandbox of Chromium does not start for root, which is who runs in most containers
        browser = driver.chromium.launch(executable_path=FOUND, args=["--no-sandbox"])
        yield browser
        browser.close()


def turns(session, count, names=5, **changes):
    """Return the calls of a session whose components grow turn by turn."""
    for number in range(1, count + 1):
        components = {"system": 300, "tools": 200} | {
            f"part_{n}": 10 * number * (n + 1) for n in range(names)
        }
        total = sum(components.values())
        left = {"name": "code.app", "tokens": 90, "reason": "exceeds available budget"}
        events = (Event(schema.COMPONENT_EXCLUDED, left, 1),) if number % 3 == 0 else ()
        plain = {
            "trace_id": f"{crc32(session.encode()):024x}{number:08x}", "span_id": f"{number:016x}", "start": BEGIN + number * MINUTE,
            "end": BEGIN + number * MINUTE + 10**9, "model": "gpt-5-mini", "session": session, "agent": "devops",
            "turn": number, "lineage": session, "tokens": total, "method": "exact", "components": components,
            "limit": 5_000, "limit_source": "configured", "decision": "ok", "usage": Usage(input=total, output=20),
            "details": (Detail("tools", "kubectl", 120),), "events": events,
        }  # fmt: skip
        yield CallRecord(**{**plain, **changes})


def written(path, records, *findings):
    """Write the page of ``records``, each session judged by the same findings; return its address."""
    sessions = analysis.sessions(records)
    verdict = findings[0].level if findings else "healthy"
    judged = tuple(Judgement(verdict, findings) for _ in sessions)
    path.write_text(html.render(analysis.Report(sessions, judgements=judged)), "utf-8")
    return path.as_uri()


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """The page of 25 turns with one finding."""
    found = Finding("growth.unbounded", "failing", "parts grow", "bound them", turns=(4, 5, 9))
    folder: Path = tmp_path_factory.mktemp("pages")
    return written(folder / "one.html", turns("conv-42", 25), found)


@pytest.fixture(scope="session")
def several(tmp_path_factory):
    """The page of twelve sessions."""
    folder: Path = tmp_path_factory.mktemp("pages")
    records = [call for n in range(12) for call in turns(f"conv-{n:02}", 4)]
    return written(folder / "several.html", records)


@pytest.fixture(scope="session")
def big(tmp_path_factory):
    """The page of 500 turns with 24 components."""
    folder: Path = tmp_path_factory.mktemp("pages")
    return written(folder / "big.html", turns("conv-500", 500, names=22, limit=400_000))


@pytest.fixture
def visit(chromium):
    """Return a function that opens an address; whatever goes wrong in the page fails the test."""
    wrong = []
    contexts = []
    asked = set()

    def opened(address, **options):
        context = chromium.new_context(viewport={"width": 1200, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.partition("#")[0]))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
    assert {one.rpartition("/")[2] for one in asked} <= {"one.html", "several.html", "big.html"}
