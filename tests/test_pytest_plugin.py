"""The pytest plugin in runs of pytest of its own, as a user has them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

AGENT = """
    import openai
    import pytest
    import tokentrace
    from tokentrace.testing import Wire, openai_chat

    wire = Wire(openai_chat("Done.", prompt_tokens=40))
    client = openai.OpenAI(api_key="k", http_client=wire.client("openai"), max_retries=0)
    NOTE = "The release of the shop waits for the migration of the orders table. "


    def ask(turns, most=20):
        messages = [{"role": "system", "content": "Answer briefly."}]
        for number in range(turns):
            messages.append({"role": "user", "content": f"{number}: " + NOTE * most})
            with tokentrace.turn():
                client.chat.completions.create(model="gpt-4o", messages=messages)
            messages.append({"role": "assistant", "content": "Done."})
"""
TESTS = """
    def test_fixture(tokentrace_session):
        ask(3)
        assert [turn.number for turn in tokentrace_session.sessions[0].turns] == [1, 2, 3]
        assert tokentrace_session.calls[-1].session == "test_fixture"


    @pytest.mark.token_budget(max_total=100_000, max_utilization=0.9, max_component={"histroy": 10})
    def test_inside():
        ask(1)


    @pytest.mark.token_budget(max_total=500)
    def test_total():
        ask(4)


    @pytest.mark.token_budget(max_component={"history": 300})
    async def test_component():
        ask(4)


    @pytest.mark.token_budget(max_utilization=0.001)
    class TestShare:
        def test_share(self):
            ask(2)


    @pytest.mark.token_budget(max_total=500)
    def test_nothing():
        pass


    @pytest.mark.token_budget(max_total="lots")
    def test_mistyped():
        ask(1)


    @pytest.mark.token_budget(max_total=10)
    def test_own_failure():
        ask(1)
        raise ValueError("the agent's own error")


    def test_without():
        ask(1)


    class TestGuarded:
        @pytest.fixture
        def tokentrace_settings(self):
            return {"guard": tokentrace.Guard(limit=100, on_exceed="raise")}

        def test_refused(self, tokentrace_session):
            with pytest.raises(tokentrace.TokenLimitExceeded):
                ask(1)
"""


def run(
    folder: Path, tests: str, *options: str, sample: str = AGENT
) -> subprocess.CompletedProcess[str]:
    """Run pytest in ``folder`` over a file of tests."""
    (folder / "test_agent.py").write_text(dedent(sample) + dedent(tests))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "none.ini"]
    (folder / "none.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    return subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One run over all sample tests, with reports."""
    folder = tmp_path_factory.mktemp("sample")
    return run(folder, TESTS, "--tokentrace-report", "tokens.json", "-rA"), folder


def told(ran, test: str) -> str:
    """Return what pytest printed of one failed test."""
    return re.split(r"\n(?:____|====)", ran[0].stdout.partition(f"_ {test} _")[2])[0]


def test_outcomes(ran):
    """What keeps to its budget passes, what does not fails as a failure of the test."""
    assert "5 passed" not in ran[0].stdout
    assert "4 passed" in ran[0].stdout
    assert "5 failed, 4 passed, 1 error" in ran[0].stdout, ran[0].stdout


def test_a_total_over_budget_says_what_grew(ran):
    """The message has session, turn, numbers, and the components that grew."""
    text = told(ran, "test_total")
    assert "session 'test_total', turn 4 of 4" in text
    assert "tokens are over max_total 500" in text
    assert "grew since turn 3: history +" in text
    assert "grew since turn 1: history +" in text


def test_a_component_over_budget(ran):
    """A component's own budget is named with its tokens; asynchronous tests are held to it too."""
    assert "history has 855 tokens" in told(ran, "test_component")
    assert "tokens, over its 300" in told(ran, "test_component")


def test_a_share_over_budget(ran):
    """A mark on a class counts for its tests, and a share is told with the limit."""
    assert "are over max_utilization 0.1%" in told(ran, "TestShare.test_share")


def test_a_budget_on_nothing_fails(ran):
    """A budget that nothing could break would be no test."""
    assert "no LLM call was seen" in told(ran, "test_nothing")


def test_a_mistyped_budget_says_so(ran):
    """A budget that is no number is told by name and value, without a traceback."""
    assert "@pytest.mark.token_budget: max_total='lots': not a number" in ran[0].stdout


def test_the_tests_own_error_comes_first(ran):
    """A test that fails by itself shows its own error."""
    assert "ValueError: the agent's own error" in told(ran, "test_own_failure")
    assert "max_total" not in told(ran, "test_own_failure").partition("ValueError")[2]


def test_summary(ran):
    """The terminal shows a row for each test that made calls, and names that no prompt had."""
    section = ran[0].stdout.partition("= tokens =")[2].partition("= short test")[0]
    assert "test_agent.py::test_fixture" in section
    assert "test_agent.py::test_without" not in section
    assert "max_component names 'histroy', which no prompt had" in section


def test_report(ran):
    """The report holds each test as a session, with the numbers of the summary."""
    document = json.loads((ran[1] / "tokens.json").read_text())
    sessions = {session["id"]: session for session in document["sessions"]}
    assert len(sessions["test_agent.py::test_fixture"]["turns"]) == 3
    assert "tokentrace: wrote tokens.json" in ran[0].stdout


def test_the_page_prints_what_it_shows(tmp_path):
    """The sample of docs/testing.md runs as printed, with what it shows."""
    page = (Path(__file__).parents[1] / "docs" / "testing.md").read_text(encoding="utf-8")
    sample, failure, summary = re.findall(r"```(?:python|text)\n(.*?)```", page, re.DOTALL)[:3]
    ended = run(tmp_path, "", "--tokentrace-report", "tokens.html", sample=sample)
    assert failure in ended.stdout
    assert summary in ended.stdout


def test_html_report_from_processes(tmp_path):
    """Tests that ran in other processes are in the report too."""
    tests = """
        def test_one(tokentrace_session):
            ask(2)

        def test_two(tokentrace_session):
            ask(1)
    """
    ended = run(tmp_path, tests, "--tokentrace-report", "tokens.html", "-n", "2")
    page = (tmp_path / "tokens.html").read_text()
    assert "2 passed" in ended.stdout
    assert "test_agent.py::test_one" in page
    assert "test_agent.py::test_two" in page


def test_a_report_that_cannot_be_written(tmp_path):
    """An unknown form and a missing folder are told before any test runs."""
    form = run(tmp_path, "", "--tokentrace-report", "tokens.pdf")
    folder = run(tmp_path, "", "--tokentrace-report", "missing/tokens.html")
    assert "tokens.pdf: the name ends in .html or .json" in form.stderr
    assert "there is no such folder" in folder.stderr
    assert {form.returncode, folder.returncode} == {4}


def test_nothing_is_loaded_where_nobody_asks(tmp_path):
    """A run without the fixture loads neither OpenTelemetry nor a tokenizer."""
    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_plain():\n    assert not {'opentelemetry', 'tiktoken'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plain.py"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PATH": ""}
    )
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "= tokens =" not in ended.stdout
