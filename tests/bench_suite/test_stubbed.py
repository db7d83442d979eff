"""The stubbed SDK stands for the real one where it matters: what is counted, and what is reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
# In a process of its own, since it replaces the SDK's transport for good.
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from calling import OURS, Talk, begun, counted
from instrumentations import Telemetry
from stubbed import Stub
stub, telemetry = Stub(), Telemetry(keep=True)
places, standing = begun((OURS,), stub, telemetry)
for new in (0, 2):
    talk = Talk(stub, 10, new, counted)
    talk.longer()()  # with nothing in place
    with places.standing(standing[OURS]):
        talk.again()
        talk.longer()()
print(json.dumps([dict(span.attributes) for span in telemetry.arrived]))
"""


@pytest.fixture(scope="module")
def spans(tmp_path_factory):
    pytest.importorskip("openai")
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(BENCH)],
        cwd=tmp_path_factory.mktemp("bench"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_calls_are_traced_only_where_a_way_stands(spans):
    """One span for the check, two of a conversation with nothing new, three with new messages."""
    assert len(spans) == 1 + 2 + 3


def test_the_provider_reports_what_was_sent(spans):
    """Counts are exact and reported as they are, so that nothing is learned or corrected in a call."""
    for span in spans:
        assert span["tokentrace.input.method"] == "exact"
        assert span["gen_ai.usage.input_tokens"] == span["tokentrace.input.tokens"]


def test_new_messages_are_new(spans):
    """The last call has more tokens than the one before, by those of two messages."""
    before, after = spans[-2:]
    assert 350 < after["tokentrace.input.tokens"] - before["tokentrace.input.tokens"] < 450
    assert spans[1]["tokentrace.input.tokens"] == spans[2]["tokentrace.input.tokens"]
