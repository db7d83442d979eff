"""`tokentrace diff`: two request bodies, or two turns."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tokentrace import cli

TRACE = Path(__file__).parent / "readers" / "data" / "conversation.jsonl"
SECRET = "the launch code is 0000"
BEFORE = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You answer briefly."},
        {"role": "user", "content": "Why is the sky blue?"},
    ],
}
AFTER = {
    **BEFORE,
    "messages": [
        *BEFORE["messages"],
        {"role": "assistant", "content": SECRET},
        {"role": "user", "content": "And the sea?"},
    ],
}


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch, tmp_path):
    """Run in an empty folder with two bodies in it, without colour."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    Path("before.json").write_text(json.dumps(BEFORE))
    Path("after.json").write_text(json.dumps(AFTER))


def diff(*words):
    """Run the command in this process."""
    return CliRunner().invoke(cli.app, ["diff", *map(str, words)])


def complaint(result):
    """Return the one line of a refused command."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


def test_a_missing_file_is_one_line_with_what_to_do():
    """The mend names no option that this command does not have."""
    line = complaint(diff("before.json", "nowhere.json"))
    assert "nowhere.json: no such file" in line
    assert "tokentrace count --text" in line
    assert "--text" not in diff("--help").stdout


def test_two_bodies():
    """Components, total and messages, with what became of each; no text of them."""
    found = diff("before.json", "after.json")
    rows = [line.split() for line in found.stdout.splitlines()]
    assert found.exit_code == 0
    assert ["user", "6", "4", "-2", "(-33.3%)", "shrank"] in rows
    assert ["messages,", "2", "as", "before"] in rows
    assert [row[:2] for row in rows if row[-1:] == ["new"]] == [
        ["history", "-"], ["3", "assistant"], ["4", "user"],
    ]  # fmt: skip
    assert SECRET not in found.stdout


def test_two_bodies_for_scripts():
    """The document's components add up, on both sides, and to the delta."""
    found = json.loads(diff("before.json", "after.json", "--json").stdout)
    for side in ("before", "after"):
        held = sum(one[side] or 0 for one in found["components"])
        assert held == found[side]["total"] > 0
    assert found["delta"] == sum(one["delta"] for one in found["components"])
    assert found["messages"]["kept"] == 2
    assert SECRET not in json.dumps(found)


@pytest.mark.parametrize(("most", "code"), [(0, 1), (10_000, 0)])
def test_growth_may_be_a_fault(most, code):
    """--at-most sets the exit code by the tokens by which the prompt grew."""
    assert diff("before.json", "after.json", "--at-most", most).exit_code == code
    assert diff("after.json", "before.json", "--at-most", most).exit_code == 0


def test_two_turns():
    """Turns of a recorded session are compared at their largest calls."""
    found = json.loads(diff(TRACE, "--turns", 1, 2, "--session", "conv-42", "--json").stdout)
    assert found["before"]["label"] == "turn 1 of conv-42"
    assert found["delta"] == found["after"]["total"] - found["before"]["total"]
    assert found["before"]["details_complete"] is False
    assert diff(TRACE, "--turns", 1, 2, "--session", "conv-42").exit_code == 0


def test_bodies_of_other_apis_are_guessed_or_named():
    """Each body is read as what it is for; --model names one where the body does not."""
    claude = {"messages": AFTER["messages"][1:], "system": "x", "max_tokens": 5}
    Path("claude.json").write_text(json.dumps(claude))
    words = ("before.json", "claude.json", "--model", "claude-sonnet-4-5", "--json")
    found = json.loads(diff(*words).stdout)
    assert found["after"]["api"] == "anthropic.messages"
    named = json.loads(diff(*words, "--api", "anthropic.messages").stdout)
    assert named["before"]["api"] == "anthropic.messages"
    assert named["before"]["model"] == "claude-sonnet-4-5"


@pytest.mark.parametrize(("words", "said"), [
    ((), "two prompts are needed"),
    (("before.json",), "two prompts are needed"),
    (("before.json", "after.json", "--session", "x"), "two prompts are needed"),
    (("before.json", "nowhere.json"), "nowhere.json: no such file"),
    (("text.md", "after.json"), "text.md: a text, not a request body"),
    ((TRACE, "--turns", "1", "999", "--session", "conv-42"), "no turn 999 in session 'conv-42'"),
    ((TRACE, "--turns", "1", "2", "--session", "nope"), "no session 'nope'"),
    (("--turns", "1", "2"), "nothing is recorded here yet"),
])  # fmt: skip
def test_what_cannot_be_compared_is_one_line(words, said):
    """Each with its mend, exit code 2."""
    Path("text.md").write_text("hello")
    assert said in complaint(diff(*words))


def test_several_sessions_want_a_name(tmp_path):
    """Two sessions in one file: one has to be chosen."""
    lines = TRACE.read_text()
    other = re.sub(r'("traceId": ?")[0-9a-f]', r"\1f", lines).replace("conv-42", "conv-43")
    both = tmp_path / "both.jsonl"
    both.write_text(lines + other)
    assert "more than one session" in complaint(diff(both, "--turns", 1, 2))
