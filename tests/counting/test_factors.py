"""Factors of models: what reported usage teaches, how surely, and the file that keeps it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace

import pytest

import tokentrace
from tokentrace import _failsafe
from tokentrace.counting import anchoring, factors
from tokentrace.counting.counter import measure
from tokentrace.counting.factors import FACTORS
from tokentrace.guard.learned import key_of
from tokentrace.instrument import factor_file
from tokentrace.prompt import Usage
from tokentrace.testing import anthropic_message, capture

URL = "https://api.example"
KEY = key_of("anthropic", URL, "claude-sonnet-4-6")


def body(number, words=900, **more):
    """Return a request of its own: no conversation carries it."""
    text = f"Case {number}: the node is drained before the pool is upgraded. " * (words // 12)
    return {"model": "claude-sonnet-4-6", "max_tokens": 9,
            "messages": [{"role": "user", "content": text}], **more}  # fmt: skip


def counted(request):
    """Return the prompt, its own count and its footprint."""
    prompt, count = measure(request, api="anthropic.messages")
    return prompt, count, anchoring.footprint(prompt, count)


def teach(*ratios, words=900):
    """Let calls be answered whose reported numbers are so many times our count."""
    for number, ratio in enumerate(ratios):
        prompt, count, now = counted(body(number, words))
        factors.note(KEY, prompt, count, now, round(ratio * count.total))


def corrected(request):
    """Return our own count, and the corrected one."""
    prompt, count, now = counted(request)
    return count, factors.applied(KEY, prompt, count, now)


# ── what a factor does ───────────────────────────────────────────────────────────────────────────


def test_few_calls_are_no_factor():
    """Four calls change nothing, the fifth makes a factor; the rules' bound fades as they come in."""
    teach(*[1.2] * 4)
    own, same = corrected(body("new"))
    assert same is own
    teach(*[1.2] * 5)
    own, first = corrected(body("new"))
    assert first.total == pytest.approx(1.2 * own.total, abs=2)
    assert first.method == "calibrated"
    assert first.components["user"] == pytest.approx(1.2 * own.components["user"], abs=2)
    assert sum(first.components.values()) == first.total
    errors = [first.error]
    for _ in range(3):
        teach(*[1.2] * 5)
        errors.append(corrected(body("new"))[1].error)
    assert errors == sorted(errors, reverse=True)
    assert 0.02 * first.total < errors[-1] < 0.5 * own.error


def test_one_odd_number_moves_nothing():
    """The median stays, and of 64 calls two may be odd before the bound knows of them."""
    teach(*[1.1] * 62)
    before = corrected(body("new"))[1]
    teach(2.4)
    after = corrected(body("new"))[1]
    assert (after.total, after.error) == (before.total, before.error)


def test_a_spread_is_in_the_bound():
    """Where ratios differ, nearly all of them lie inside the bound."""
    ratios = [1 + 0.01 * (n % 13 - 6) for n in range(60)]
    teach(*ratios)
    own, better = corrected(body("new"))
    inside = sum(abs(better.total - ratio * own.total) <= better.error for ratio in ratios)
    assert inside >= 0.95 * len(ratios)
    assert better.error < own.error


def test_old_calls_are_forgotten():
    """A provider that counts otherwise from one day on is followed."""
    teach(*[1.3] * 64)
    teach(*[0.9] * 40)
    own, better = corrected(body("new"))
    assert better.total == pytest.approx(0.9 * own.total, abs=2)
    assert len(FACTORS.find(KEY).calls) == 64


def test_factors_stay_sane():
    """However odd the reports are, a factor lies between a half and two, and the bound tells the rest."""
    teach(*[2.9] * 30)
    own, better = corrected(body("new"))
    assert better.total == 2 * own.total
    assert better.total + better.error >= 2.9 * own.total
    FACTORS.clear()
    teach(*[0.51, 0.5, 0.52] * 10)
    own, better = corrected(body("new"))
    assert better.total >= 0.5 * own.total - 1


def test_absurd_reports_teach_nothing():
    """What no tokenizer can have made is not believed."""
    teach(*[0.01, 50.0, 1e6] * 5)
    assert FACTORS.find(KEY) is None


def test_what_is_no_measure_teaches_nothing_and_stays():
    """Short prompts, pictures, what a provider adds, and prompts far longer than any that taught."""
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}}
    pictured = body("p")
    pictured["messages"].append({"role": "user", "content": [picture]})
    search = {"type": "web_search_20250305", "name": "web_search"}
    odd = [body("s", 60), pictured, body("t", tools=[search])]
    for request in odd:
        prompt, count, now = counted(request)
        factors.note(KEY, prompt, count, now, round(1.2 * count.total))
    assert FACTORS.find(KEY) is None
    teach(*[1.2] * 20)
    for request in (*odd, body("long", 9_000)):
        own, same = corrected(request)
        assert same is own
    own, better = corrected(body(99, 2_700))
    assert better is not own


@pytest.mark.parametrize(
    "text", ["节点在池升级之前被排空。", "17 4093 0.25 88; "], ids=["zh", "numbers"]
)
def test_text_of_another_kind_must_have_taught(text):
    """What English prose teaches says little of Chinese or of columns of numbers: the rules' bound stays."""
    teach(*[1.2] * 40)
    other = body("x")
    other["messages"] = [{"role": "user", "content": text * 200}]
    for _ in range(5):
        own, better = corrected(other)
        assert better.total == pytest.approx(1.2 * own.total, abs=2)
        assert better.total - better.error <= own.total - own.error
        prompt, count, now = counted(other)
        factors.note(KEY, prompt, count, now, round(0.9 * count.total))
    own, better = corrected(other)
    assert better.total == pytest.approx(1.2 * own.total, abs=2)
    assert better.total - better.error <= 0.9 * own.total


def test_calls_that_are_all_alike_leave_a_part_of_the_rules_bound():
    """However well the calls of one fixed prompt agree, another prompt's count may be off."""
    teach(*[1.2] * 60)
    own, better = corrected(body("new"))
    assert 0.25 * 1.2 * own.error <= better.error < own.error


def test_another_tokenizer_begins_anew():
    """What was learned before a tokenizer's file was loaded says nothing of counts by the file."""
    teach(*[1.2] * 20)
    prompt, count, now = counted(body("new"))
    loaded = replace(now, ruler="file:tokenizer.json:1234")
    assert factors.applied(KEY, prompt, count, loaded) is count
    factors.note(KEY, prompt, count, loaded, count.total)
    assert len(FACTORS.find(KEY).calls) == 1


def test_models_and_places_are_kept_apart():
    """A factor is one model's at one place."""
    teach(*[1.2] * 20)
    prompt, count, now = counted(body("new"))
    for key in (("", *KEY[1:]), (KEY[0], "b.example", KEY[2]), (*KEY[:2], "claude-opus-4-1")):
        assert factors.applied(key, prompt, count, now) is count


# ── in calls ─────────────────────────────────────────────────────────────────────────────────────


def calls(numbers, ratio, *, turns=1, guard=False):
    """Make calls, each a conversation of its own of so many turns; return their records."""
    with capture(guard=guard) as captured:
        for number in numbers:
            request = body(number)
            for turn in range(turns):
                own = counted(request)[1].total
                with tokentrace.llm_call(
                    request, api="anthropic.messages", provider="anthropic", base_url=URL
                ) as call:
                    call.response(anthropic_message("Done.", input_tokens=round(ratio * own)).body)
                more = [{"role": "assistant", "content": "Done."},
                        {"role": "user", "content": f"Turn {turn}. " * 90}]  # fmt: skip
                request = {**request, "messages": [*request["messages"], *more]}
    return captured.calls


def test_first_calls_of_conversations_teach_and_are_corrected():
    """From the sixth on a new conversation's first count is the model's own."""
    made = calls(range(12), 1.25)
    misses = [abs(call.drift) for call in made]
    assert min(misses[:5]) > 100
    assert max(misses[5:]) <= 2
    assert {call.method for call in made} == {"calibrated"}
    assert all(abs(call.drift) <= call.error for call in made[5:])
    assert made[-1].error < made[0].error
    ((name, told),) = tokentrace.status()["factors"].items()
    assert (name, told["calls"]) == ("claude-sonnet-4-6 at api.example", 12)
    assert (told["factor"], told["share"]) == pytest.approx((1.25, 0.0), abs=0.001)


def test_one_long_conversation_is_one_lesson():
    """Calls that count on from an earlier one say nothing new of a conversation's first."""
    calls(range(1), 1.25, turns=9)
    assert len(FACTORS.find(KEY).calls) == 1


def test_a_factor_is_no_anchor():
    """What a conversation's own calls say stays apart from what the model's do."""
    made = calls(range(8), 1.25, turns=3)
    assert [call.method for call in made[-3:]] == ["calibrated", "anchored", "anchored"]
    assert all(abs(call.drift) <= call.error for call in made[-3:])


def test_a_guard_is_not_told_less_than_there_is():
    """With factors as without them, a prompt above its limit is never taken for one far below."""
    calls(range(20), 0.8)
    own = counted(body("new"))[1].total
    seen = []
    limit = round(0.8 * own)
    guard = tokentrace.Guard(limit=limit, compress=lambda _, report: seen.append(report.count))
    with pytest.warns(tokentrace.TokenLimitWarning):
        calls(["new"], 0.8, guard=guard)
    (count,) = seen
    assert count.total + count.error >= limit


# ── the file ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The file that the environment names."""
    found = tmp_path / "factors.json"
    monkeypatch.setenv("TOKENTRACE_FACTORS", str(found))
    return found


def test_what_is_learned_goes_through_a_file(path):
    """Written at the end as a whole, read at the next start; other entries stay."""
    factor_file.load()
    teach(*[1.2] * 9)
    factor_file.save(str(path))
    assert [entry.name for entry in path.parent.iterdir()] == ["factors.json"]
    learned = FACTORS.find(KEY)
    FACTORS.clear()
    factor_file.reset()
    with capture(guard=False):
        assert FACTORS.find(KEY) == learned
        assert list(tokentrace.status()["factors"]) == ["claude-sonnet-4-6 at api.example"]
    FACTORS.clear()
    prompt, count, now = counted(body(1))
    factors.note(("x", "y", "z"), prompt, count, now, count.total)
    factor_file.save(str(path))
    rows = json.loads(path.read_text())["factors"]
    assert [(row["model"], len(row["calls"])) for row in rows] == [
        ("claude-sonnet-4-6", 9),
        ("z", 1),
    ]
    assert "drained" not in path.read_text()


def test_nothing_learned_writes_nothing(path):
    """A process that learned nothing leaves the file alone, or makes none."""
    factor_file.load()
    factor_file.save(str(path))
    assert not path.exists()
    teach(*[1.2] * 9)
    factor_file.save(str(path))
    before = path.stat().st_mtime_ns
    FACTORS.clear()
    factor_file.reset()
    factor_file.load()
    factor_file.save(str(path))
    assert path.stat().st_mtime_ns == before


def test_another_releases_factors_are_learned_anew(path, caplog):
    """Other rules count otherwise: what was learned on top of them is replaced, without a word."""
    held = {"version": 1, "release": "0.0.1", "factors": [ENTRY]}
    path.write_text(json.dumps(held))
    factor_file.load()
    assert len(FACTORS) == 0
    teach(*[1.2] * 9)
    factor_file.save(str(path))
    assert [row["model"] for row in json.loads(path.read_text())["factors"]] == [
        "claude-sonnet-4-6"
    ]
    assert caplog.text == ""


ENTRY = {
    "provider": "p",
    "place": "h",
    "model": "m",
    "ruler": "",
    "factor": 1.0,
    "calls": [[900, 950, 500]],
}
NONSENSE = {
    "no JSON": "factors",
    "a list": "[]",
    "another version": json.dumps({"version": 2, "factors": []}),
    "no list": json.dumps({"version": 1, "factors": {}}),
    "an entry of another kind": json.dumps({"version": 1, "factors": [7]}),
    "a name of another kind": json.dumps({"version": 1, "factors": [{**ENTRY, "model": 7}]}),
    "a long name": json.dumps({"version": 1, "factors": [{**ENTRY, "model": "m" * 999}]}),
    "no calls": json.dumps({"version": 1, "factors": [{**ENTRY, "calls": []}]}),
    "calls of another kind": json.dumps({"version": 1, "factors": [{**ENTRY, "calls": [["a", 1, 1]]}]}),
    "calls that cannot be": json.dumps({"version": 1, "factors": [{**ENTRY, "calls": [[900, 10**9, 1]]}]}),
    "one good and one bad": json.dumps({"version": 1, "factors": [ENTRY, {**ENTRY, "calls": [[0, 1, 1]]}]}),
    "calls without letters": json.dumps({"version": 1, "factors": [{**ENTRY, "calls": [[900, 950]]}]}),
    "letters that cannot be": json.dumps({"version": 1, "factors": [{**ENTRY, "calls": [[900, 950, -1]]}]}),
    "too many calls": json.dumps({"version": 1, "factors": [{**ENTRY, "calls": [[900, 950, 500]] * 65}]}),
    "too large": " " * (2**20 + 1),
    "deep": "[" * 100_000,
    "bytes": b"\xff\xfe\x00",
}  # fmt: skip


@pytest.mark.parametrize("content", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_told_once_and_left_alone(path, caplog, content):
    """One warning, no factor, and the file stays as it is."""
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(raw)
    with caplog.at_level(logging.WARNING, "tokentrace"), capture(guard=False):
        teach(*[1.2] * 9)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "TOKENTRACE_FACTORS"
    ]
    assert list(FACTORS.items()) == [KEY]
    assert path.read_bytes() == raw
    assert _failsafe.failures == {}


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch, caplog):
    """What was learned is lost with one warning, and nothing else happens."""
    raw = str(tmp_path / "nowhere" / "factors.json")
    monkeypatch.setenv("TOKENTRACE_FACTORS", raw)
    factor_file.load()
    teach(*[1.2] * 9)
    with caplog.at_level(logging.WARNING, "tokentrace"):
        factor_file.save(raw)
        factor_file.save(raw)
    (record,) = caplog.records
    assert "cannot be written" in record.getMessage()


PROGRAM = """
import tokentrace
from tokentrace.counting import factors
tokentrace.instrument(exporter="none")
print(len(factors.FACTORS))
factors.FACTORS.put(("p", "h", "m"), factors.of_calls(((900, 950, 500),) * 7))
"""


def test_a_process_writes_at_its_end_and_the_next_one_reads(path):
    """Real processes, one after the other."""
    told = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                              check=True, timeout=120, env=dict(os.environ))  # fmt: skip
        told.append(done.stdout.strip())
    assert told == ["0", "1"]
    assert json.loads(path.read_text())["factors"][0]["factor"] == round(950 / 900, 4)


def test_no_usage_teaches_nothing():
    """A call that reported nothing."""
    with capture(guard=False):
        with tokentrace.llm_call(body(1), api="anthropic.messages") as call:
            call.response({"id": "x"})
    assert len(FACTORS) == 0
    assert Usage().input is None
