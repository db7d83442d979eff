"""The README does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tokentrace.demo.server import Reply, Server

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_python_snippets_run_in_their_order(tmp_path):
    """All Python snippets, pasted one after the other, run and record two turns."""
    program = tmp_path / "program.py"
    program.write_text("\n".join(blocks("python")), encoding="utf-8")
    with Server(lambda _body: Reply("All nodes are ready.", prompt=14, completion=6)) as server:
        keys = {
            "HTTP_PROXY": server.origin,
            "OPENAI_API_KEY": "test",
            "OPENAI_BASE_URL": "http://api.openai.com/v1",
        }
        ran = subprocess.run(
            [sys.executable, "-W", "error", str(program)], env=os.environ | keys, capture_output=True, text=True,
            cwd=tmp_path, check=False, timeout=240,
        )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split()[1] == "exact"
    assert len(server.bodies) == 2
    report = subprocess.run(
        [sys.executable, "-m", "tokentrace", "report", "--session", "conv-42"],
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    assert "conv-42" in report.stdout


def test_the_two_commands_are_what_ci_runs():
    """The command that passes the tests stands in the README as CI runs it."""
    commands = "".join(blocks("console"))
    run = (TOP / ".ci" / "run").read_text(encoding="utf-8")
    tests = "python3 -m venv .venv && .venv/bin/pip install -q 'nox[uv]' && .venv/bin/nox -s tests"
    assert tests in commands
    assert tests in run


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """Every relative link of our pages leads to a file."""
    text = (TOP / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    links += re.findall(r'<img src="([^"]+)"', text)
    assert [link for link in links if not (TOP / page).parent.joinpath(link).exists()] == []


def test_every_page_is_found_from_the_readme():
    """No page of the documentation is left out of the README."""
    pages = {f"docs/{page.name}" for page in (TOP / "docs").glob("*.md")} - {"docs/index.md"}
    assert {page for page in pages if f"({page})" not in README} == set()


def test_public_names_of_the_readme_exist():
    """Every ``tokentrace.name`` that the README mentions can be had."""
    import tokentrace

    names = set(re.findall(r"\btokentrace\.([A-Za-z_]\w*)", README))
    assert {name for name in names if not hasattr(tokentrace, name)} == set()
