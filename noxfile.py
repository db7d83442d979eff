"""The checks: ``nox -s tests`` is what the README runs, ``.ci/run`` runs them all."""

from __future__ import annotations

import shutil
import subprocess

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
TESTING = nox.project.dependency_groups(PROJECT, "test")
LINTING = nox.project.dependency_groups(PROJECT, "lint")
DOCS = nox.project.dependency_groups(PROJECT, "docs")
CODE = ("src", "tests", "examples", "noxfile.py")

# The SDK generations whose hooks are promised, each on another Python where one is at hand.
SDKS = {
    "oldest": ("3.11", "openai==1.60.0", "anthropic[bedrock]==0.66.0"),
    "openai2": ("3.12", "openai==2.*", "anthropic[bedrock]==0.*"),
    "newest": ("3.13", "openai>=3", "anthropic[bedrock]>=2"),
}

# The other instrumentations beside which a call has one span (see telemetry/peers.py).
PEERS = (
    "logfire",
    "openinference-instrumentation-anthropic",
    "openinference-instrumentation-openai",
    "opentelemetry-instrumentation-anthropic",
    "opentelemetry-instrumentation-genai-openai",
    "opentelemetry-instrumentation-openai",
)

# What of the hooks differs between generations of these SDKs.
HOOKED = tuple(
    f"tests/instrument/test_{name}.py"
    for name in ("door", "forms", "manual", "verify", "server_context")
)


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


@nox.session
@nox.parametrize(
    "python, openai, anthropic",
    [nox.param(at_hand(sdk[0]), *sdk[1:], id=name) for name, sdk in SDKS.items()],
)
def hooks(session: nox.Session, openai: str, anthropic: str) -> None:
    """Run the tests of the hooks against one generation of the SDKs."""
    others = [
        need for need in TESTING if not need.startswith(("openai", "anthropic", "pytest-cov"))
    ]
    session.install(".", openai, anthropic, *others)
    session.run("pytest", *HOOKED, *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Run the tests beside other instrumentations, each of them installed."""
    session.install(".", *TESTING, *PEERS)
    session.run("pytest", "tests/peers", *session.posargs)


def apart(session: nox.Session, sdk: str, *needs: str) -> None:
    """Run the tests of an SDK's hooks that the other sessions skip."""
    session.install(".", *TESTING, *needs)
    session.run("pytest", "tests/instrument", "-k", sdk, *session.posargs)


@nox.session
def litellm(session: nox.Session) -> None:
    """Run the tests of litellm's hooks: it weighs more than all others, and leaves sockets open."""
    open_sockets = ("-W", "ignore::pytest.PytestUnraisableExceptionWarning")
    # hypothesis reads its sources at the end, while threads of litellm still run: CPython 3.11 trips
    session.posargs.extend((*open_sockets, "-p", "no:hypothesispytest"))
    apart(session, "litellm", "litellm>=1.110", "tenacity")


@nox.session
def aiobotocore(session: nox.Session) -> None:
    """Run the tests of aiobotocore's hook: it wants a botocore of its own."""
    apart(session, "aiobotocore", "aiobotocore>=3.10")


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
