"""The catalogue of hostile conditions: each has tests, and each of them says which it is for."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"\b([A-Z]{2})(\d)(?:-(\d))?")

# what each condition is; its tests in this suite name it at the head of their docstrings
CONDITIONS = {
    "IN1": "messages that can be read once only",
    "IN2": "messages that are no list, or an SDK's own objects",
    "IN3": "content that is missing, null, or of malformed parts",
    "IN4": "lone surrogates, NUL, escapes and line ends in a text",
    "IN5": "tool schemas that hold themselves, go thousands deep, or are no JSON",
    "IN6": "10 MB in a message, 10,000 messages",
    "IN7": "the caller's own dicts: not changed, not kept",
    "RE1": "fields of a response that are null, missing or of another type",
    "RE2": "status 200 with an error for a body",
    "RE3": "odd chunks of a stream",
    "RE4": "broken JSON, an error event or a lost connection in the middle of a stream",
    "ST1": "streams that are dropped, or never read",
    "ST2": "streams that are closed midway, by hand or by an error",
    "ST3": "types, headers and iterators of a stream",
    "ST4": "a stream in another thread or task than its call",
    "ST5": "every shape of a call in every colour of every SDK",
    "ST6": "the host's own current span while it reads",
    "CO1": "threads and tasks at once",
    "CO2": "cancellation in a call and in a stream",
    "CO3": "messages that another thread changes during the call",
    "CO4": "KeyboardInterrupt, SystemExit and GeneratorExit",
    "CO5": "host code that comes back into us",
    "LI1": "instrument and uninstrument, twice, raced, above and below others' wrappers",
    "LI2": "clients and bound methods from before instrument",
    "LI3": "forks",
    "LI4": "signatures, colours, pickles, copies, mocks and subclasses",
    "LI5": "calls while the interpreter ends",
    "EX1": "a collector that refuses, hangs, is slow or talks rubbish",
    "EX2": "processors and exporters that raise",
    "EX3": "a provider that was shut down",
    "EX4": "samplers that drop, suppressed instrumentation",
    "TK1": "text that looks like a special token",
    "TK2": "an empty cache and a network that hangs",
    "TK3": "a vocabulary with one byte changed",
    "TK4": "a megabyte without a break",
    "GU1": "over the limit, mode raise",
    "GU2": "over the limit, mode warn",
    "GU3": "exactly at the limit, one over, zero, negative, unknown",
    "GU4": "the guard in async, streamed, parsed, raw and derived clients",
    "GU5": "the guard without telemetry",
    "SE1": "prompt text in telemetry and logs",
    "SE2": "names that are markup, formulas or terminal escapes",
    "SE3": "prompts that are shell commands",
    "SE4": "trace files that are too long, too deep, or bombs",
    "SE5": "vocabularies that somebody else may write",
    "RB1": "very many sessions",
    "RB2": "streams that nobody ends",
    "CL1": "a wall clock that steps",
    "CL2": "clocks that stand still",
    "CF1": "odd environment variables",
    "CF2": "OTEL_SDK_DISABLED, no provider",
}
# tests of a condition that stand with what they test
ELSEWHERE = {
    "ST3": [("instrument/test_forms.py", "test_the_host_gets_what_it_would_get")],
    "GU1": [("instrument/test_sdks.py", "test_a_refusal_leaves_no_byte")],
    "GU4": [("instrument/test_forms.py", "test_a_refusal_leaves_no_byte")],
    "LI3": [
        (
            "lifecycles/test_lifecycles.py",
            "test_ten_children_of_a_process_whose_threads_are_calling",
        ),
        ("lifecycles/test_lifecycles.py", "test_workers_forked_after_instrument"),
    ],
    "SE2": [
        ("report/test_report_comparing.py", "test_hostile_names_are_no_markup"),
        ("report/test_html.py", "test_the_policy_lets_only_these_scripts_and_styles_pass"),
        ("report/test_report_text.py", "test_safe_cuts_what_is_long_and_keeps_what_is_foreign"),
    ],
    "SE3": [("scenario/test_driving.py", "test_a_prompt_is_one_word_and_no_shell_sees_it")],
    "SE4": [
        ("readers/test_otlp_json.py", "test_line_over_the_cap_is_skipped_without_keeping_it"),
        ("readers/test_otlp_json.py", "test_deep_values_cost_only_their_line"),
        ("readers/test_otlp_json.py", "test_gzip_bomb_is_refused_early"),
        ("readers/test_exports.py", "test_a_bomb_of_zstd_is_refused"),
    ],
    "SE5": [("counting/test_vocab.py", "test_no_network_and_no_cache_folder")],
    "RB1": [
        ("test_turns.py", "test_thousands_of_sessions_are_bounded"),
        ("test_turns.py", "test_thousand_sessions_of_25_turns_stay_small"),
    ],
    "CL1": [("test_telemetry.py", "test_durations_do_not_follow_the_wall_clock")],
    "CF1": [("test_config.py", "test_a_bad_number_is_one_warning_and_the_default")],
    "CF2": [("test_front_door.py", "test_import_loads_nothing_heavy")],
}


@cache
def docstrings(path: Path) -> dict[str, str]:
    """Return the docstring of each test of a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.name: ast.get_docstring(node) or ""
        for node in nodes
        if isinstance(node, kinds) and node.name.startswith("test_")
    }


def named(docstring: str) -> set[str]:
    """Return the conditions at the head of a docstring: ``IN1-3, ST2: …``."""
    head, colon, _ = docstring.partition(":")
    found = NAMED.findall(head) if colon else []
    return {f"{kind}{n}" for kind, first, last in found for n in range(int(first), int(last or first) + 1)}  # fmt: skip


def proofs_of(condition: str) -> list[tuple[str, str]]:
    """Return file and name of each test that is for a condition."""
    return [
        (path.name, name)
        for path in sorted((TESTS / "hostile").glob("test_*.py"))
        for name, text in docstrings(path).items()
        if condition in named(text)
    ] + ELSEWHERE.get(condition, [])


@pytest.mark.parametrize("condition", CONDITIONS)
def test_each_condition_has_tests(condition):
    """Every condition of the catalogue is the subject of some test."""
    assert proofs_of(condition)


def test_no_test_is_for_a_condition_that_nobody_knows():
    """What stands at the head of a docstring is in the catalogue."""
    texts = [
        text for path in (TESTS / "hostile").glob("test_*.py") for text in docstrings(path).values()
    ]
    assert set().union(*map(named, texts)) <= CONDITIONS.keys()


@pytest.mark.parametrize(("file", "name"), [one for told in ELSEWHERE.values() for one in told])
def test_what_is_tested_elsewhere_is_there(file, name):
    """A test that another room has is there under its name."""
    assert name in docstrings(TESTS / file)
