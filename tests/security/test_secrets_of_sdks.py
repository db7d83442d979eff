"""Secrets planted in the calls of every SDK that is installed: on no span, metric, log line or report."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from rich.console import Console

from instrument.loopback import Server, whole
from instrument.sdks.table import TEXT
from instrument.test_sdks import MARKS, ROWS, perform
from tokentrace import analysis
from tokentrace.report import html, markdown, text
from tokentrace.report import json as report_json
from tokentrace.testing import capture

SECRET = "Zq7secretQz7"
PLANTED = f'{SECRET} {{"{SECRET}": "{SECRET}", "n": 1}}\n# {SECRET}\n<{SECRET}>x</{SECRET}> sk-{SECRET * 3}'
ECHO = whole({"message": SECRET, "error": {"message": f"Incorrect API key provided: {SECRET}", "code": f"sk-{SECRET * 3}"}}, status=401)  # fmt: skip
FORMS = ("plain", "async", "stream", "refused", "error in a stream")
CASES = [
    pytest.param(name, form, id=f"{name}-{form}", marks=MARKS.get(row.sdk, ()))
    for name, row in ROWS.items()
    for form in FORMS
    if form in row.forms
]
pytestmark = [
    pytest.mark.skipif(not CASES, reason="none of the SDKs is installed"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning",
        "ignore:Inheritance class Aiohttp:DeprecationWarning",
    ),
]


@pytest.fixture(scope="module")
def server():
    """Run one server for all."""
    with Server() as running:
        yield running


def planted(row, form):
    """Return a row with a secret in its text, and in the error that it is answered."""
    request = json.loads(json.dumps(row.request).replace(TEXT, json.dumps(PLANTED)[1:-1]))
    chosen = row.forms[form]
    answer = ECHO if form == "refused" else chosen.answer
    return replace(row, request=request, forms={form: replace(chosen, answer=answer)})


def reported(captured) -> str:
    """Return every form of report on what was captured."""
    report = analysis.Report(captured.sessions)
    file = io.StringIO()
    text.render(report, Console(file=file, width=200))
    return (
        file.getvalue() + html.render(report) + report_json.render(report) + markdown.render(report)
    )


def measured(reader) -> str:
    data = reader.get_metrics_data()
    return "" if data is None else data.to_json()


@pytest.mark.parametrize(("name", "form"), CASES)
def test_nothing_of_it_is_told(server, name, form, caplog):
    """Neither the prompt, nor what stands in it as a name, nor a refusal that repeats a key."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    with caplog.at_level("DEBUG", "tokentrace"), capture(meter_provider=meters) as captured:
        perform(server, planted(ROWS[name], form), form)
        told = [span.to_json() for span in captured.spans]
        shown = reported(captured)
    said = [log.getMessage() for log in caplog.records if log.name.startswith("tokentrace")]
    numbers = measured(reader)
    meters.shutdown()
    assert len(told) == 1
    assert "gen_ai.client.operation.duration" in numbers
    assert not [one for one in (*told, *said, shown, numbers) if SECRET in one]
    for header in server.requests[-1].headers.values():
        credential = (
            header.partition(" ")[2] if header.lower().startswith(("bearer", "basic")) else ""
        )
        assert not credential or len(credential) < 6 or credential not in told[0]


@pytest.mark.parametrize("name", [name for name in ROWS if "plain" in ROWS[name].forms][:3])
def test_the_secret_is_there_to_be_found(server, name):
    """The check above can fail: whoever opts in to content sees it, but for the key."""
    with capture(capture_content=True) as captured:
        perform(server, planted(ROWS[name], "plain"), "plain")
    (span,) = captured.spans
    assert SECRET in span.to_json()
    assert f"sk-{SECRET}" not in span.to_json()
