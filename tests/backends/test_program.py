"""``scripts/backends`` itself, as far as it goes without Go: versions, ports, processes, faults."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from backend_stack import building, commands, processes, running
from real_backends import TOP

PROGRAM = str(TOP / "scripts" / "backends")


def called(*arguments, **settings):
    """Return what the program did: exit code, output, complaints."""
    ran = subprocess.run(
        [sys.executable, PROGRAM, *arguments],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


# ── what is built ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("which", building.COLLECTORS)
def test_a_manifest_is_of_one_release(which):
    """All modules below 1.0 are of one version, and the stable ones of theirs."""
    unstable, stable = building.COLLECTORS[which]
    modules = re.findall(r"gomod: (\S+) v(\S+)", building.manifest(which))
    assert {version for _, version in modules} == {unstable, stable}
    assert {version for name, version in modules if "/confmap/provider/" in name} == {stable}
    assert all(f"\t{name} v{version}\n" in building.module(which) for name, version in modules)


def test_the_manifest_holds_what_the_configuration_uses():
    """Each component of collector-config.yaml is in the manifest, and little else is."""
    config = yaml.safe_load((TOP / "collector-config.yaml").read_text(encoding="utf-8"))
    kinds = ("receivers", "processors", "connectors", "exporters", "extensions")
    renamed = {"otlp_grpc": "otlp"}  # its module kept the old name
    types = {name.partition("/")[0] for kind in kinds for name in config[kind]}
    used = {renamed.get(name, name).replace("_", "") for name in types}
    manifest = yaml.safe_load(building.manifest("newest"))
    built = {
        re.sub(r"(receiver|processor|connector|exporter|extension)$", "", one["gomod"].split("/")[-1].split()[0])
        for kind in kinds
        for one in manifest[kind]
    }  # fmt: skip
    assert used == built - {"file"}


def test_jaegers_version_is_that_of_its_module():
    """The go.mod that Jaeger is built with requires the version that is told."""
    text = (building.HERE / "jaeger" / "go.mod").read_text(encoding="utf-8")
    assert f"github.com/jaegertracing/jaeger v{building.JAEGER} " in text
    assert f"tool {building.JAEGER_PACKAGE}\n" in text


def test_the_configuration_names_the_versions_it_is_tested_with():
    """The range that collector-config.yaml and the page state is that of the table."""
    oldest, newest = (building.COLLECTORS[which][0] for which in ("pinned", "newest"))
    for name in ("collector-config.yaml", "docs/backends.md"):
        assert f"{oldest} to {newest}" in (TOP / name).read_text(encoding="utf-8")


def test_what_is_built_stays_until_something_changes(tmp_path, monkeypatch):
    """A second build makes nothing; one that failed leaves nothing behind."""
    monkeypatch.setenv("TOKENTRACE_BACKENDS_CACHE", str(tmp_path))
    times = []

    def make(folder, log):
        times.append(folder)
        log.write_text("told")
        (folder / "program").write_text("x")
        if len(times) == 1:
            raise processes.StackError("it failed", log=log)

    place = building.cache() / "thing-1.2-abc"
    with pytest.raises(processes.StackError):
        building.made(place, "program", make)
    assert not place.exists()
    for _ in range(2):
        assert Path(building.made(place, "program", make)).read_text(encoding="utf-8") == "x"
    assert len(times) == 2
    assert [one.name for one in tmp_path.glob("making-*")] == []


def test_without_go_one_line_says_what_to_do(tmp_path):
    """Where Go is missing the program says so, with the mend, and no traceback."""
    for name in building.DEBIAN:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    code, _, told = called(
        "build", PATH=str(tmp_path), TOKENTRACE_BACKENDS_CACHE=str(tmp_path / "c")
    )
    assert code == 1
    assert told == "scripts/backends: no Go here; install Go 1.26 or later and put it on PATH\n"


def test_a_package_that_cannot_be_fetched_fails_the_build(tmp_path):
    """Where Debian's package is not to be had, that is told with its exit code, and nothing is left."""
    for name in ("apt-get", "dpkg-deb"):
        (tmp_path / name).write_text("#!/bin/sh\necho no such package\nexit 100\n")
        (tmp_path / name).chmod(0o755)
    cache = tmp_path / "cache"
    code, _, told = called("build", PATH=str(tmp_path), TOKENTRACE_BACKENDS_CACHE=str(cache))
    assert code == 1
    assert "no such package" in told
    assert "failed with exit code 100; the log is" in told
    assert not (cache / "debian-prometheus").exists()


@pytest.mark.parametrize("arguments", [(), ("fly",), ("up", "--collector", "oldest")])
def test_what_is_no_command_is_refused(arguments):
    """A wrong command line is exit code 2 with the usage."""
    code, _, told = called(*arguments)
    assert code == 2
    assert told.startswith("usage: scripts/backends")


def test_every_command_is_explained():
    """The help names all four, and the variable of the cache."""
    code, told, _ = called("--help")
    assert code == 0
    assert all(
        re.search(rf"^    {name} +\S", told, re.MULTILINE)
        for name in ("build", "up", "down", "test")
    )
    assert "TOKENTRACE_BACKENDS_CACHE" in told


# ── what runs ────────────────────────────────────────────────────────────────────────────────────


def test_ports_are_free_and_different():
    """Each name has a port of its own."""
    found = running.free_ports([str(number) for number in range(50)])
    assert len(set(found.values())) == 50


def test_nothing_but_loopback_is_listened_on():
    """No configuration of ours names another address."""
    for name in ("jaeger.yaml", "sink.yaml"):
        text = (building.HERE / name).read_text(encoding="utf-8")
        assert set(re.findall(r"endpoint: ([^:]+):", text)) == {"127.0.0.1"}
    found = building.Found({"newest": "c"}, "j", "p", "t")
    assert running.HOST == "127.0.0.1"
    assert found.collectors == {"newest": "c"}


def test_prometheus_runs_with_what_is_shipped():
    """Its jobs and rules are those of deploy/: targets, folders and seconds alone are others."""
    shipped, runs = (
        yaml.safe_load(text)
        for text in (
            (running.SHIPPED / "prometheus.yml").read_text(encoding="utf-8"),
            running.scraping({"collector:8889": "127.0.0.1:1", "tempo:3200": "127.0.0.1:3"}),
        )
    )
    targets = [job.pop("static_configs")[0]["targets"] for job in runs["scrape_configs"]]
    assert targets == [["127.0.0.1:1"], [], ["127.0.0.1:3"]]
    for job in shipped["scrape_configs"]:
        del job["static_configs"]
    assert runs["scrape_configs"] == shipped["scrape_configs"]
    assert list(map(Path, runs["rule_files"])) == [
        running.SHIPPED / name for name in shipped["rule_files"]
    ]
    assert set(runs["global"]) == set(shipped["global"])
    assert set(runs["global"].values()) == {"1s"}


def test_a_program_that_ends_at_once_is_told_with_its_log(tmp_path):
    """A program that ends before it answers is no time-out: exit code and log are told."""
    command = (sys.executable, "-c", "print('no such thing', flush=True); raise SystemExit(3)")
    port = running.free_ports(["x"])["x"]
    program = running.Program("thing", command, f"http://127.0.0.1:{port}/")
    with pytest.raises(processes.StackError, match="thing ended with exit code 3") as told:
        running.start(program, tmp_path)
    assert told.value.log.read_text(encoding="utf-8") == "no such thing\n"


SERVER = (
    "import http.server as h, sys\n"
    "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()\n"
)


@pytest.fixture
def servers(tmp_path):
    """Give two servers that run, and have them ended."""
    started = []
    for name, port in running.free_ports(["a", "b"]).items():
        command = (sys.executable, "-c", SERVER, str(port))
        program = running.Program(name, command, f"http://127.0.0.1:{port}/")
        started.append(running.start(program, tmp_path, apart=True))
    yield started
    for process in started:
        processes.end(process)


@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc: a process's start is not told")
def test_down_ends_what_up_started_and_nothing_else(servers, tmp_path, capsys):
    """The processes of a state end; one that merely has the number of an old one lives on."""
    mine, another = servers
    commands.write(tmp_path, {"places": {}}, servers)
    state = tmp_path / commands.STATE
    told = state.read_text(encoding="utf-8").replace(processes.born(another.pid), "1")
    state.write_text(told, encoding="utf-8")
    options = commands.parser().parse_args(["down", "--dir", str(tmp_path)])
    assert commands.down(options) == 0
    assert capsys.readouterr().out == f"process {mine.pid} has ended\n"
    assert another.poll() is None
    assert not state.exists()
    assert commands.down(options) == 0
    assert capsys.readouterr().out == "nothing runs\n"


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_up_starts_anew_where_something_is_missing(servers, tmp_path, monkeypatch, capsys, lost):
    """What runs as a whole is only told of; what lacks a part is ended and started again."""
    started = []
    places = {"places": {"otlp_http": "http://127.0.0.1:1"}}
    monkeypatch.setattr(commands, "_up", lambda *_: started.append(1) or places)
    commands.write(tmp_path, places, servers)
    for process in servers[:lost]:
        processes.end(process)
    assert commands.up(commands.parser().parse_args(["up", "--dir", str(tmp_path)])) == 0
    assert len(started) == bool(lost)
    assert [process.poll() is None for process in servers] == [not lost] * 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 " in capsys.readouterr().out


@pytest.mark.parametrize("number", ["INT", "TERM"])
def test_an_interrupt_ends_everything(tmp_path, number):
    """Whoever interrupts a command that runs others ends those with it."""
    code = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(TOP / 'scripts')!r})\n"
        "from backend_stack import commands, processes\n"
        "import signal\n"
        "for one in commands.SIGNALS: signal.signal(one, commands.interrupted)\n"
        "with processes.owned([sys.executable, '-c', 'import time; time.sleep(600)']) as child:\n"
        "    print(child.pid, flush=True)\n"
        "    child.wait()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    since = processes.born(child)
    process.send_signal(getattr(processes.signal, f"SIG{number}"))
    assert process.wait(60) == 128 + getattr(processes.signal, f"SIG{number}")
    process.stdout.close()
    deadline = time.monotonic() + 60
    while processes.alive(child, since) and time.monotonic() < deadline:
        time.sleep(0.05)
    alive = processes.alive(child, since)
    with suppress(ProcessLookupError):
        os.kill(child, 9)
    assert not alive
