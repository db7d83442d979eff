"""The examples of frameworks run as a user without a key would run them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokentrace import readers
from tokentrace.prompt import CallRecord

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {
    "langgraph_agent.py": "langchain_openai",
    "openai_agents.py": "agents",
    "pydantic_ai_agent.py": "pydantic_ai",
    "adk_agent.py": "google.adk",
}


def there(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if not any(map(there, NEEDS.values())):
    pytest.skip("no framework of the examples is here; nox -s frameworks", allow_module_level=True)


@pytest.mark.parametrize(("name", "module"), NEEDS.items(), ids=NEEDS)
def test_an_example_names_its_session_and_turns(name, module, tmp_path):
    """Two turns with a tool call each bear session, agent and number, and no line of code says so."""
    if not there(module):
        pytest.skip(f"{module} is not installed; nox -s frameworks")
    variables = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    variables["TOKENTRACE_EXPORTER"] = "local"
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], env=variables, cwd=tmp_path, capture_output=True,
        text=True, check=False, timeout=240,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = readers.read([os.environ["TOKENTRACE_DIR"]], readers.Problems())
    calls = [record for record in found if isinstance(record, CallRecord)]
    assert [(call.session, call.agent, call.turn) for call in calls] == [
        ("shop-42", "devops", number) for number in (1, 1, 2, 2)
    ]
    assert calls[3].components["history"] > 0
    assert ran.stdout.count("One of two pods restarts.") == 2
