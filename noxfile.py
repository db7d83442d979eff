"""The checks: ``nox -s tests`` is what the README runs, ``.ci/run`` runs them all."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
TESTING = nox.project.dependency_groups(PROJECT, "test")
PYTEST = nox.project.dependency_groups(PROJECT, "pytest")
LINTING = nox.project.dependency_groups(PROJECT, "lint")
FLEET = nox.project.dependency_groups(PROJECT, "fleet")
LIVING = nox.project.dependency_groups(PROJECT, "lifecycle")
BROWSING = nox.project.dependency_groups(PROJECT, "browser")
DOCS = nox.project.dependency_groups(PROJECT, "docs")
CODE = ("src", "tests", "examples", "scripts", "bench", "fuzz", "noxfile.py")
ENGINE = "atheris==3.0.0"  # the fuzzer; as in fuzz/__main__.py

# The versions of each SDK whose hooks are promised: the table beside the hooks.
SDKS = runpy.run_path("src/tokentrace/instrument/hooks.py")["SDKS"]
# What some of them want besides themselves.
NEEDS = {
    "anthropic": ("anthropic[bedrock]",),
    "huggingface_hub": ("aiohttp",),
    "litellm": ("tenacity",),
}
# Too much for one environment with the others: litellm's pins, a botocore of aiobotocore's own.
APART = ("aiobotocore", "litellm")
# Also run on the newest Python in CI.
FIRST = ("openai", "anthropic")
# litellm leaves sockets open; hypothesis reads its sources at the end, while threads of litellm still
# run: CPython 3.11 trips.
OPTIONS = {
    # aiohttp says so, whenever the collector comes by, of an answer that nobody read to its end
    "aiobotocore": ("-W", "ignore:Unclosed connection:ResourceWarning"),
    "litellm": (
        *("-W", "ignore::pytest.PytestUnraisableExceptionWarning"),
        *("-p", "no:hypothesispytest"),
    ),
}

# What a call's instructions are counted with: as in the environment where its time is measured.
MEASURED = runpy.run_path("bench/environments.py")["NEEDS"]["ours"]

# The other instrumentations beside which a call has one span (see telemetry/peers.py).
PEERS = (
    "logfire",
    "openinference-instrumentation-anthropic",
    "openinference-instrumentation-openai",
    "opentelemetry-instrumentation-anthropic",
    "opentelemetry-instrumentation-genai-openai",
    "opentelemetry-instrumentation-openai",
)

# What a Chromium is called; the tests look for the same names.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# The agent frameworks whose names are read: those that go together in one environment.
FRAMEWORKS = (
    "google-adk>=2",
    "langchain>=1",
    "langchain-openai>=1",
    "langgraph>=1",
    "openai-agents>=0.20",
    "pydantic-ai-slim[openai]>=2",
)
OTHER_FRAMEWORKS = (
    "crewai>=1.15",
    "llama-index-core>=0.14",
    "llama-index-llms-openai>=0.6",
    "smolagents[openai]>=1.26",
)

HOOKS = "tests/instrument"
# what stands on OpenTelemetry, wrapt, tiktoken and the rest of what is always installed
CORE = (
    "tests/instrument/test_forms.py",
    "tests/instrument/test_standing.py",
    "tests/counting/test_vocab.py",
    "tests/query",
    "tests/readers",
    "tests/test_cli.py",
    "tests/test_exporting.py",
    "tests/test_front_door.py",
    "tests/test_guard.py",
    "tests/test_local.py",
    "tests/test_shapes.py",
    "tests/test_telemetry.py",
)
EXTRAS = ".[cost,query,zstd]"  # what of them the core is tested with


def at_hand(version: str) -> str | None:
    """Return ``version`` when its interpreter runs here, else None: the Python that runs nox."""
    found = shutil.which(f"python{version}")
    if found is None:
        return None
    ran = subprocess.run([found, "--version"], capture_output=True, check=False)
    return version if ran.returncode == 0 else None


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole suite against the installed package, with the coverage gate."""
    session.install(".[demo]", *TESTING)
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", success_codes=[0])
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


def generations() -> list[nox._parametrize.Param]:
    """Return every version of every SDK, the newest on the newest Python that is at hand."""
    found = []
    for sdk in SDKS:
        last = len(sdk.run) - 1
        for place, version in enumerate(sdk.run):
            name = {0: "oldest", last: "newest"}.get(place, version)
            need = f"{sdk.name}{'>=' if place == last else '=='}{version}"
            python = at_hand("3.13" if place == last else "3.12" if place else "3.11")
            # what neither `tests` nor `oldest` runs, or on no such Python
            apart = 0 < place < last or (place == last and sdk.name in (*FIRST, *APART))
            tags = ["apart"] if apart else []
            found.append(nox.param(python, sdk.name, need, id=f"{sdk.name}-{name}", tags=tags))
    return found


@nox.session
@nox.parametrize("python, sdk, need", generations())
def matrix(session: nox.Session, sdk: str, need: str) -> None:
    """Run the tests of one SDK's hooks against one version of it, alone in its environment."""
    session.install(".", need, *NEEDS.get(sdk, ()), *PYTEST)
    session.run("pytest", HOOKS, *OPTIONS.get(sdk, ()), *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Run the tests of all hooks against the oldest versions at once; `tests` has the newest."""
    needs = [f"{sdk.name}=={sdk.run[0]}" for sdk in SDKS if sdk.name not in APART]
    session.install(".", *needs, *NEEDS["anthropic"], *PYTEST)
    session.run("pytest", HOOKS, *session.posargs)


@nox.session
def lifecycles(session: nox.Session) -> None:
    """Run agents under gunicorn, its gevent workers too, and forked under load."""
    session.install(".", *LIVING)
    session.run("pytest", "tests/lifecycles", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the core and the first hooks against the lowest versions that pyproject.toml allows."""
    needs = [f"{sdk.name}=={sdk.run[0]}" for sdk in SDKS if sdk.name in FIRST]
    session.install("--resolution", "lowest-direct", EXTRAS, *needs, *NEEDS["anthropic"], *PYTEST)
    # old and new together are told of by each other
    quiet = ("-W", "ignore::DeprecationWarning")
    session.run("pytest", *quiet, *CORE, *session.posargs)


@nox.session(python=at_hand("3.13"))
def newest(session: nox.Session) -> None:
    """Run the same on the newest Python, with the newest versions of everything."""
    if at_hand("3.13") is None:
        session.skip("no Python 3.13 here: the core is run on no newer one")
    session.install(EXTRAS, *FIRST, *NEEDS["anthropic"], *PYTEST)
    session.run("pytest", *CORE, *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Run the tests beside other instrumentations, each of them installed."""
    session.install(".", *TESTING, *PEERS)
    session.run("pytest", "tests/peers", *session.posargs)


def named(session: nox.Session, *needs: str) -> None:
    """Run the tests of frameworks that the other sessions skip; they leave sockets open."""
    runner = [need for need in PYTEST if need.startswith(("hypothesis", "pytest"))]
    session.install(".", *runner, *needs)
    open_sockets = ("-W", "ignore::pytest.PytestUnraisableExceptionWarning")
    session.run("pytest", "tests/frameworks", *open_sockets, *session.posargs)


@nox.session
def frameworks(session: nox.Session) -> None:
    """Run the tests and examples of LangGraph, OpenAI Agents, Pydantic AI and Google ADK."""
    named(session, *FRAMEWORKS)


@nox.session
def other_frameworks(session: nox.Session) -> None:
    """Run the tests of CrewAI, LlamaIndex and smolagents."""
    named(session, *OTHER_FRAMEWORKS)


@nox.session
def reliability(session: nox.Session) -> None:
    """Drive 10,000 calls, sick collectors and sick folders: two minutes of what takes hours."""
    session.install(".", *TESTING)
    session.run("python", "bench/reliability.py", "--quick", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Look at the report's page in Chromium, where there is one (Debian: apt install chromium)."""
    if not any(map(shutil.which, CHROMIUM)):
        session.skip("no Chromium here: apt-get install chromium, or Google Chrome")
    session.install(".", *BROWSING)
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def fleet(session: nox.Session) -> None:
    """Check deploy/fleet in a real Collector where Go is, and what is for ClickHouse and Kubernetes."""
    session.install(".", *FLEET)
    if shutil.which("go"):
        session.run("python", "scripts/fleet")
    session.run("pytest", "tests/fleet", *session.posargs)


@nox.session
def backends(session: nox.Session) -> None:
    """Build and start Collector, Jaeger and Prometheus, and look for our traces in them."""
    if not shutil.which("go"):
        session.skip("no Go here: the Collector and Jaeger are not built, and their tests not run")
    session.install(".[cost,demo]", *PYTEST)
    session.run("python", "scripts/backends", "test", "--", *session.posargs)


@nox.session(python=at_hand("3.11"))
def fuzz(session: nox.Session) -> None:
    """Fuzz each reader of foreign input for some seconds; `python fuzz` does so for as long as you like."""
    if not sys.platform.startswith("linux"):
        session.skip("the fuzzing engine has wheels for Linux alone")
    session.install(ENGINE, "-e", ".")
    # the same inputs each time: a check of what was changed, not a search for what is new
    session.run("python", "fuzz", "--here", "--seconds", "8", "--seed", "1", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel twice: the same bytes, and nothing foreign in them."""
    session.install("build")
    session.run("python", "scripts/wheel.py")


@nox.session
def audit(session: nox.Session) -> None:
    """Check what is installed: that it fits together, its licences, and known holes where a database answers."""
    session.install(".[demo]", "pip", "pip-audit")
    session.run("python", "-m", "pip", "check")
    session.run("python", "scripts/audit.py")


@nox.session
def instructions(session: nox.Session) -> None:
    """Hold the instructions of the hot path to their bounds, where valgrind is (Debian: apt install valgrind)."""
    if not shutil.which("valgrind"):
        session.skip("no valgrind here: apt-get install valgrind; instructions are not counted")
    session.install(".", *MEASURED)
    session.run("python", "bench/instructions.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check rules and format."""
    session.install(*LINTING)
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation strictly: a broken link, anchor or name fails."""
    session.install(*DOCS)
    session.run("mkdocs", "build", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def types(session: nox.Session) -> None:
    """Check types of the package, of its usage examples and of ``examples/``."""
    session.install("-e", ".[demo]", *LINTING, *TESTING)
    session.run("mypy")
