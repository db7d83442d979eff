"""The compose file and what it mounts: of the specification, whole, pinned, loopback only."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
SCHEMA = Path(__file__).parent / "compose-spec" / "compose-spec.json"
VARIABLE = re.compile(r"\$\{env:(\w+)")


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def compose() -> dict:
    return load(DEPLOY / "compose.yaml")


@pytest.fixture(scope="module")
def services(compose) -> dict:
    return compose["services"]


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def mounts(service: dict) -> list[tuple[str, str, str]]:
    return [tuple(mount.split(":")) for mount in service.get("volumes", ()) if ":ro" in mount]


def test_it_is_of_the_compose_specification(compose, schema):
    """The file is valid by the specification's own schema."""
    assert [error.message for error in schema.iter_errors(compose)] == []


@pytest.mark.parametrize(
    "fault", [{"prots": ["127.0.0.1:1:1"]}, {"image": 3}, {"restart": ["always"]}]
)
def test_the_schema_would_find_a_fault(compose, services, schema, fault):
    """A misspelt key or a wrong type is no valid file."""
    broken = {**compose, "services": {**services, "tempo": {**services["tempo"], **fault}}}
    assert not schema.is_valid(broken)


def test_images_are_pinned_by_version(services):
    """Each image names a version of three numbers."""
    loose = [
        one["image"]
        for one in services.values()
        if not re.search(r":v?\d+\.\d+\.\d+$", one["image"])
    ]
    assert loose == []


def test_ports_are_open_to_this_machine_only(services):
    """Each published port stands on loopback, and none is asked for twice."""
    ports = [port for one in services.values() for port in one["ports"]]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    taken = [port.split(":")[1] for port in ports]
    assert len(set(taken)) == len(taken)


def test_what_is_mounted_exists(services):
    """Each file and folder that is mounted from here is here; named volumes are declared."""
    sources = [source for one in services.values() for source, *_ in mounts(one)]
    assert sources
    assert [source for source in sources if not (DEPLOY / source).exists()] == []


def test_named_volumes_are_declared(compose, services):
    """Each volume with a name is among the file's volumes, and each of those is used."""
    named = {
        mount.split(":")[0]
        for one in services.values()
        for mount in one.get("volumes", ())
        if not mount.startswith(".")
    }
    assert named == set(compose["volumes"])


def test_services_wait_for_services(services):
    """What a service depends on is a service."""
    wanted = {name for one in services.values() for name in one.get("depends_on", ())}
    assert wanted
    assert wanted <= set(services)


def test_the_collector_reads_what_it_is_given(services):
    """The top configuration is mounted, it reads each variable that is set, and those that matter are."""
    collector = services["collector"]
    config = TOP / "collector-config.yaml"
    ((source, target, _),) = mounts(collector)
    assert (DEPLOY / source).resolve() == config
    assert f"--config={target}" in collector["command"]
    read = set(VARIABLE.findall(config.read_text(encoding="utf-8")))
    given = set(collector["environment"])
    assert given <= read
    assert {name for name in read if name.endswith(("_HOST", "_ENDPOINT"))} <= given


def test_the_collector_is_one_that_the_configuration_is_tested_with(services):
    """The image's version lies in the range that the configuration names."""
    first, last = re.search(
        r"Collector (\S+) to (\S+) ", (TOP / "collector-config.yaml").read_text(encoding="utf-8")
    ).groups()
    version = services["collector"]["image"].rpartition(":")[2]
    order = [tuple(map(int, one.split("."))) for one in (first, version, last)]
    assert order == sorted(order)


def test_prometheus_scrapes_the_ports_that_the_collector_opens():
    """Both ports are the defaults of the Collector's configuration: nobody sets others here."""
    text = (TOP / "collector-config.yaml").read_text(encoding="utf-8")
    opened = dict(re.findall(r"\$\{env:COLLECTOR_(PROMETHEUS|TELEMETRY)_PORT:-(\d+)\}", text))
    jobs = load(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    scraped = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    assert scraped["tokentrace"] == [f"collector:{opened['PROMETHEUS']}"]
    assert scraped["otelcol"] == [f"collector:{opened['TELEMETRY']}"]
    assert not any(job.get("honor_labels") for job in jobs)


def test_back_ends_are_called_by_their_names(services):
    """Every host that a variable, a scrape target or a data source names is a service here."""
    named = [
        value.split(":")[0]
        for key, value in services["collector"]["environment"].items()
        if key.endswith("_ENDPOINT")
    ]
    scraped = load(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    named += [
        target.split(":")[0]
        for job in scraped
        for static in job["static_configs"]
        for target in static["targets"]
    ]
    sources = load(DEPLOY / "grafana/provisioning/datasources/tokentrace.yaml")["datasources"]
    named += [re.fullmatch(r"http://(\w+):\d+", source["url"]).group(1) for source in sources]
    assert set(named) <= set(services)
    assert {"tempo", "jaeger", "collector", "prometheus"} <= set(named)


def test_tempo_keeps_what_tokentrace_sends():
    """Our longest string fits uncut, the sizes are said, and Tempo tells nobody of itself."""
    tempo = load(DEPLOY / "tempo.yaml")
    assert tempo["distributor"]["max_attribute_bytes"] >= 2_000
    assert tempo["overrides"]["defaults"]["global"]["max_bytes_per_trace"] > 0
    assert tempo["usage_report"]["reporting_enabled"] is False


def test_tempo_listens_where_the_collector_sends(services):
    """The port of TEMPO_ENDPOINT is that of Tempo's receiver."""
    receiver = load(DEPLOY / "tempo.yaml")["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]
    port = services["collector"]["environment"]["TEMPO_ENDPOINT"].split(":")[1]
    assert receiver["endpoint"] == f"0.0.0.0:{port}"


def test_grafana_finds_dashboards_and_sources(services):
    """The folder that is provisioned is the one that is mounted, and exemplars lead to Tempo."""
    targets = {target: source for source, target, _ in mounts(services["grafana"])}
    provider = load(DEPLOY / "grafana/provisioning/dashboards/tokentrace.yaml")["providers"][0]
    folder = DEPLOY / targets[provider["options"]["path"]]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / Path(home).name).exists()
    assert str(Path(home).parent) == provider["options"]["path"]
    sources = load(DEPLOY / "grafana/provisioning/datasources/tokentrace.yaml")["datasources"]
    uids = {source["uid"] for source in sources}
    (exemplars,) = sources[0]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars["datasourceUid"] in uids
