"""The docs do what they say: snippets run as printed, links lead somewhere, tables hold every name."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

import tokentrace
from tokentrace import schema
from tokentrace.cli import app
from tokentrace.instrument.hooks import HOOKS, SDKS

TOP = Path(__file__).parents[1]
DOCS = TOP / "docs"
PAGES = sorted(page.name for page in DOCS.glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = "\x1e"
ANY = "…"
WIDTH = {"COLUMNS": "110", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}

# The request of docs/command-line.md.
REQUEST = "request.json"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[tuple[str, str]]:
    """Return language and text of a page's code blocks."""
    return BLOCK.findall(page(name))


def run(
    command: list[str], folder: Path, timeout: float = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | WIDTH | variables, capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=timeout,
    )  # fmt: skip


# ── snippets ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def nowhere():
    """An HTTP proxy on loopback that counts what arrives and answers nothing of use."""
    arrived: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            arrived.append(self.path)
            self.send_error(404)

        do_GET = do_CONNECT = do_POST  # noqa: N815 - names of the base class

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", arrived
    server.shutdown()
    server.server_close()


def with_python() -> list[str]:
    return [name for name in PAGES if any(kind == "python" for kind, _ in blocks(name))]


@pytest.mark.parametrize("name", with_python())
def test_snippets_run_as_printed(name, tmp_path, nowhere):
    """A page's Python blocks, one after the other, run without a warning or the network and print what stands below them."""
    found = blocks(name)
    pieces, wanted = [], []
    for index, (kind, text) in enumerate(found):
        if kind == "python":
            below = found[index + 1] if index + 1 < len(found) else ("", "")
            pieces.append(f'{text}\nprint("{MARK}", end="")\n')
            wanted.append(below[1] if below[0] == "text" else None)
    program = tmp_path / "program.py"
    program.write_text("".join(pieces), encoding="utf-8")
    proxy, arrived = nowhere
    ran = run(
        [sys.executable, "-W", "error", str(program)], tmp_path,
        HTTP_PROXY=proxy, HTTPS_PROXY=proxy,
    )  # fmt: skip
    log = "\n".join(
        line for line in ran.stderr.splitlines() if "Traceback" in line or "Error" in line
    )
    assert (ran.returncode, log) == (0, ""), ran.stderr
    printed = ran.stdout.split(MARK)[:-1]
    assert [text for text in printed if text.strip()] or not any(wanted)
    for text, expected in zip(printed, wanted, strict=True):
        assert (expected is None and not text) or lines(text) == lines(expected or ""), name
    assert arrived == []


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


def commands() -> list[tuple[str, str]]:
    """Return the commands of the command line's page in order, each with what it prints."""
    shown = []
    for kind, text in blocks("command-line.md"):
        if kind == "console" and text.startswith("$ "):
            first, _, rest = text.partition("\n")
            shown.append((first.removeprefix("$ "), rest))
    return shown


def matches(printed: str, shown: str) -> bool:
    """Whether a text is the one shown, where a line or a word ``…`` stands for anything."""
    patterns = []
    for line in lines(shown):
        escaped = re.escape(line).replace(re.escape(ANY), ".*")
        patterns.append("(?:.*\n)*?" if line == ANY else f"{escaped} *\n")
    return re.fullmatch("".join(patterns), printed) is not None


def printed_by(words: list[str], folder: Path) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command; those that end at once run in this process."""
    if words[:2] == ["tokentrace", "demo"]:
        ran = run([sys.executable, "-m", *words], folder)
        return ran.returncode, ran.stdout, ran.stderr
    result = CliRunner().invoke(app, words[1:], prog_name="tokentrace")
    return result.exit_code, result.stdout, result.stderr


def test_commands_print_what_the_page_shows(tmp_path, monkeypatch):
    """Each command of the page, run in its order in one folder, prints what the page shows."""
    monkeypatch.chdir(tmp_path)
    for name, value in (WIDTH | {"TOKENTRACE_DIR": str(tmp_path / ".tokentrace")}).items():
        monkeypatch.setenv(name, value)
    told = commands()
    assert {command.split()[1] for command, _ in told} >= {"demo", "report", "count"}
    for command, shown in told:
        if command == f"cat {REQUEST}":
            (tmp_path / REQUEST).write_text(shown, encoding="utf-8")
            continue
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)]
        assert words[0] == "tokentrace", command
        code, out, error = printed_by(words, tmp_path)
        failed = shown.startswith("tokentrace: ")
        assert code == (2 if failed else 0), (command, error)
        assert matches(error if failed else out, shown), f"{command}\n{out}{error}"


LONG = "long-conversations.md"


def steps() -> list[tuple[str, str]]:
    """Return the commands of the page on long conversations in order, each with what it prints."""
    shown: list[tuple[str, str]] = []
    for kind, text in blocks(LONG):
        if kind == "console":
            pieces = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
            shown += [(first, rest) for first, _, rest in (one.partition("\n") for one in pieces)]
    return shown


def test_a_long_conversation_goes_as_the_page_shows(tmp_path):
    """Each command of the page, run by a shell in its order, prints what the page shows; so do its verdicts."""
    shutil.copytree(TOP / "examples", tmp_path / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, shown in steps():
        ran = run(["bash", "-c", command], tmp_path, 900, PATH=path, TOKENTRACE_DIR="")
        complains = shown.startswith("tokentrace: ")
        told = ran.stderr if complains else ran.stdout
        assert matches(told, shown), f"{command}\n{ran.stdout}{ran.stderr}"
        assert ran.returncode == (2 if complains else int("critical" in shown)), command
    assert {"healthy", "critical"} <= set(re.findall(r"^verdict (\w+)", page(LONG), re.MULTILINE))


def leaves() -> list[Any]:
    """Return all commands, those of groups too."""
    groups = [group.typer_instance.registered_commands for group in app.registered_groups]
    return [one for some in (app.registered_commands, *groups) for one in some if one.callback]


def registered() -> set[str]:
    named = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}
    return named | {group.name for group in app.registered_groups}


@pytest.mark.parametrize("name", PAGES)
def test_commands_that_are_named_exist(name):
    """Every ``tokentrace word`` in code of a page is a command, an option, or an extra."""
    code = re.findall(r"`([^`\n]+)`", page(name)) + [
        text for kind, text in blocks(name) if kind == "console"
    ]
    named = re.findall(r"(?:^|\$ |\n)tokentrace ([a-z-]+)", "\n".join(code))
    assert {word for word in named if not word.startswith("-")} <= registered()


def options(callback: Any) -> set[str]:
    """Return the long options of a command."""
    found = set()
    for name, hint in get_type_hints(callback, include_extras=True).items():
        for told in getattr(hint, "__metadata__", ()):
            if isinstance(told, typer.models.OptionInfo):
                given = [told.default, *(told.param_decls or ())]
                named = [one for one in given if str(one).startswith("--")]
                found.add(named[0] if named else f"--{name.replace('_', '-')}")
    return found


def test_every_command_and_option_is_on_the_page():
    """The page names each registered command and each of its options."""
    text = page("command-line.md")
    assert registered() - set(re.findall(r"`tokentrace (\w+)`", text)) == set()
    wanted = {name for one in leaves() for name in options(one.callback)}
    assert {"--json", "--exporter", "--last"} <= wanted
    assert wanted - set(re.findall(r"`(--[a-z-]+)", text)) == set()


# ── links and names ──────────────────────────────────────────────────────────────────────────────


def anchors(path: Path) -> set[str]:
    """Return a page's anchors as GitHub and MkDocs make them from headings."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    """Every relative link of a page leads to a file, and every anchor to a heading in it."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page(name)):
        path, _, anchor = target.partition("#")
        found = DOCS / (path or name)
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_the_index_links_every_page():
    """No page is left without a way to it."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)", page("index.md")))
    assert set(PAGES) - {"index.md"} <= linked


@pytest.mark.parametrize("name", PAGES)
def test_public_names_exist(name):
    """Every ``tokentrace.name`` in code that is no telemetry name can be had from the package."""
    known = {key.split(".")[1] for key in dotted()}
    named = set(re.findall(r"`?(?<!tool\.)\btokentrace\.([A-Za-z_]\w*)", page(name)))
    assert {word for word in named - known if not hasattr(tokentrace, word)} == set()


# ── telemetry ────────────────────────────────────────────────────────────────────────────────────

MODULE = "tokentrace.schema"
PREFIXES = ("tokentrace.", "gen_ai.", "server.", "openai.request.", "error.", "service.")


def dotted() -> set[str]:
    """Return every dotted name of the schema."""
    found = {value for value in vars(schema).values() if isinstance(value, str)}
    for table in (schema.CALL, schema.USAGE, schema.CONTEXT, schema.SETTINGS):
        found |= {key for _, key, _ in table}
    for event, fields in schema.EVENTS.items():
        found |= {event, *fields.values()}
    found |= set(schema.METRICS)
    return {name for name in found if name.startswith(PREFIXES) and not name.endswith(".")} - {
        MODULE
    }


def test_the_telemetry_page_holds_every_name():
    """Every dotted constant, field, event and metric of the schema stands in the page."""
    text = page("telemetry.md")
    named = set(re.findall(r"`([a-z_]+\.[\w.{}]+)`", text))
    assert dotted() - named == set()
    stem = schema.COMPONENT
    assert {f"{stem}{{name}}.{end}" for end in schema.ENDS} <= named


def test_the_telemetry_page_invents_no_name():
    """Every dotted name of the page is one of the schema's."""
    named = set(re.findall(r"`((?:tokentrace|gen_ai)\.[\w.{}]+)`", page("telemetry.md")))
    components = {f"{schema.COMPONENT}{{name}}.{end}" for end in schema.ENDS}
    others = {"tokentrace.TokenLimitExceeded"}
    assert named - components - others - dotted() == set()


def test_metrics_stand_with_kind_and_unit():
    """The table of metrics says the kind and the unit that the schema says."""
    text = page("telemetry.md")
    for name, metric in schema.METRICS.items():
        kind = "counter" if metric.kind == "observed" else metric.kind
        assert f"| `{name}` | {kind} | `{metric.unit}` |" in text


# ── configuration ────────────────────────────────────────────────────────────────────────────────


def test_every_variable_is_on_the_configuration_page():
    """Each environment variable that the code reads stands in the page, and no other of ours."""
    text = page("configuration.md")
    source = "\n".join(path.read_text(encoding="utf-8") for path in (TOP / "src").rglob("*.py"))
    config = (TOP / "src/tokentrace/_config.py").read_text(encoding="utf-8")
    ours = set(re.findall(r"\bTOKENTRACE_[A-Z_]+\b", source))
    theirs = set(re.findall(r'"((?:OTEL_[A-Z_]+|TRACE[A-Z]+))"', config)) - {"TRACES"}
    for signal in ("TRACES", "METRICS", "LOGS"):
        theirs |= {
            name.replace("{signal}", signal)
            for name in re.findall(r'f"(OTEL_[A-Z_{}signal]+)"', config)
        }
    named = set(re.findall(r"`((?:TOKENTRACE|OTEL|TRACE)[A-Z_]+)`", text))
    assert (ours | theirs) - named == set()
    assert {name for name in named if name.startswith("TOKENTRACE_")} - ours == set()


def test_every_argument_of_instrument_is_on_the_configuration_page():
    """Each argument stands in the table with its default."""
    text = page("configuration.md")
    for parameter in inspect.signature(tokentrace.instrument).parameters.values():
        default = (
            json.dumps(parameter.default) if parameter.default == "auto" else parameter.default
        )
        assert f"| `{parameter.name}` | `{default}` |" in text


def test_every_argument_of_the_guard_is_on_its_page():
    """Each argument stands in the guard's table with its default, and in the configuration page."""
    text = page("guard.md")
    for parameter in inspect.signature(tokentrace.Guard).parameters.values():
        value = parameter.default
        default = json.dumps(value) if isinstance(value, str) else value
        assert f"| `{parameter.name}` | `{default}` |" in text
        assert f"`{parameter.name}`" in page("configuration.md")


def test_every_api_is_named():
    """The page on counting names every api, and no other."""
    from tokentrace.dialects import DIALECTS

    text = page("components.md").partition("A body needs `api`")[2].partition("Any other name")[0]
    assert set(re.findall(r"`([\w.]+)`", text)) == set(DIALECTS)


# ── accuracy ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def script():
    path = TOP / "scripts" / "accuracy_table.py"
    spec = importlib.util.spec_from_file_location("accuracy_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scored(n: int) -> dict[str, object]:
    return dict.fromkeys(
        ("exact", "labelled", "precision", "covered", "bound", "tokens", "median", "p95", "sums"),
        0.5,
    ) | {"n": n, "crashed": 0, "precision": None}


def test_the_accuracy_script_rewrites_its_tables_only(script, tmp_path, monkeypatch):
    """The script puts groups of 20 or more between the markers, largest first, and nothing else."""
    copy = tmp_path / "accuracy.md"
    copy.write_text(page("accuracy.md"), encoding="utf-8")
    scores = {"few openai.chat": scored(19), "some openai.chat": scored(20), "all all": scored(39)}
    source = tmp_path / "scores.json"
    source.write_text(json.dumps(scores), encoding="utf-8")
    arguments = ["x", str(source), "--requests", "39", "--page", str(copy), "--date", "2026-01-02"]
    monkeypatch.setattr(sys, "argv", arguments)
    script.main()
    after = copy.read_text(encoding="utf-8")
    table = after.partition("<!-- scores: begin -->")[2].partition("<!-- scores: end -->")[0]
    named = re.findall(r"^\| (\w+ [\w.]+) \|", table, re.MULTILINE)
    assert named == ["all all", "some openai.chat"]
    assert "2026-01-02" in table
    outside = re.compile(r"<!-- (\w+): begin -->.*?<!-- \1: end -->", re.DOTALL)
    assert outside.sub("", after) == outside.sub("", page("accuracy.md"))


def test_the_accuracy_script_refuses_other_scores(script, tmp_path, monkeypatch):
    """Scores of another number of requests than claimed leave the page alone."""
    source = tmp_path / "scores.json"
    source.write_text(json.dumps({"all all": scored(7)}), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["x", str(source), "--requests", "8", "--page", "/nowhere"])
    with pytest.raises(SystemExit, match="of 7 requests"):
        script.main()


def test_the_evidence_table_is_that_of_the_package(script):
    """The page's table of evidence is what the package holds now."""
    text = page("accuracy.md")
    shown = text.partition("<!-- evidence: begin -->")[2].partition("<!-- evidence: end -->")[0]
    assert shown.strip() == script.evidence()


def test_columns_of_the_scores_are_explained(script):
    """Every column of the score table stands in the table that explains them."""
    explained = page("accuracy.md").partition("<!-- scores: begin -->")[0]
    assert [name for name in script.COLUMNS if f"`{name}`" not in explained] == []


# ── providers ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(TOP / "scripts"))
    return importlib.import_module("providers_table")


def between(text: str, name: str) -> str:
    return text.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0]


def test_the_tables_of_hooks_are_those_of_the_package(tables):
    """The page holds what the script makes of the hooks and of the versions that were run."""
    text = page("providers.md")
    assert between(text, "sdks").strip() == tables.sdks()
    assert between(text, "hooks").strip() == tables.hooks()


def test_every_hook_has_versions_and_every_version_a_hook():
    """The table of versions and that of hooks are of the same SDKs, and its apis are known."""
    from tokentrace.dialects import DIALECTS

    assert {sdk.name for sdk in SDKS} == {hook.sdk for hook in HOOKS}
    assert {api for sdk in SDKS for api in sdk.apis} <= set(DIALECTS)


def test_what_is_installed_for_tests_is_no_older_than_what_is_promised():
    """The lower bounds of the SDKs that tests install are the oldest versions of the table."""
    with (TOP / "pyproject.toml").open("rb") as file:
        needs = tomllib.load(file)["dependency-groups"]["sdks"]
    oldest = {sdk.name: sdk.run[0] for sdk in SDKS}
    found = dict(re.sub(r"\[.*?\]", "", need).split(">=") for need in needs)
    assert found == {name: oldest[name] for name in found}
    assert set(oldest) - set(found) == {"aiobotocore", "litellm"}


def test_the_readme_names_the_lowest_opentelemetry():
    """The version in the README is the lower bound of each of OpenTelemetry's stable packages."""
    with (TOP / "pyproject.toml").open("rb") as file:
        needs = tomllib.load(file)["project"]["dependencies"]
    stable = ("opentelemetry-api", "opentelemetry-exporter-otlp", "opentelemetry-sdk")
    (lowest,) = {need.split(">=")[1] for need in needs if need.startswith(stable)}
    assert f"| OpenTelemetry | {lowest} and later |" in (TOP / "README.md").read_text("utf-8")
