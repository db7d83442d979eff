"""The Kubernetes example: every object against its schema, and against the Collector's own settings."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).parents[2]
FILES = sorted((TOP / "deploy" / "kubernetes").glob("*.yaml"))
OBJECTS = [
    pytest.param(one, id=f"{path.stem}-{one['kind']}-{one['metadata']['name']}")
    for path in FILES
    for one in yaml.safe_load_all(path.read_text())
]
# What each pod's configuration is made from, as the files' own comments say.
CONFIGURATIONS = {
    "otelcol-sidecar": "deploy/fleet/sidecar.yaml",
    "otelcol-gateway": "deploy/fleet/gateway.yaml",
    "otelcol-sampler": "collector-config.yaml",
}
OLDEST, NEWEST = "1.29", None  # init containers that go on running came with 1.29
OURS = re.compile(r"GATEWAY_\w+|SAMPL\w+|QUEUE_\w+|HEALTH_\w+|COLLECTOR_\w+|TEMPO_\w+|JAEGER_\w+")


@pytest.fixture(scope="session")
def complaint():
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed: nox -s fleet"
    )

    def complaint(one, version=NEWEST):
        """Return what a version of Kubernetes would not take of an object, empty where it takes all."""
        try:
            kubernetes.validate(one, version or kubernetes.latest_version(), strict=True)
        except kubernetes.ValidationError as error:
            return error.message
        return ""

    return complaint


def pods():
    """Yield each pod's specification, with the configuration that its Collector reads."""
    for one in (param.values[0] for param in OBJECTS):
        if "template" in one.get("spec", {}):
            spec = one["spec"]["template"]["spec"]
            (volume,) = (known for known in spec["volumes"] if "configMap" in known)
            yield spec, volume["configMap"]["name"]


def collector(spec):
    everybody = [*spec.get("initContainers", ()), *spec["containers"]]
    (found,) = (one for one in everybody if one["name"] == "otelcol")
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("one", OBJECTS)
def test_objects_fit_their_schemas(complaint, one, version):
    """Each object is what Kubernetes 1.29 and the newest one take, without unknown fields."""
    assert complaint(one, version) == ""


@pytest.mark.parametrize(("key", "value"), [("replcas", 2), ("replicas", "two")])
def test_a_misspelt_field_is_found(complaint, key, value):
    """The check can fail: an unknown field and a value of a wrong type are named."""
    known = (param.values[0] for param in OBJECTS)
    broken = copy.deepcopy(next(one for one in known if one["kind"] == "Deployment"))
    broken["spec"][key] = value
    assert str(key if key == "replcas" else value) in complaint(broken)


@pytest.mark.parametrize(("spec", "config"), list(pods()))
def test_pods_set_what_their_configuration_reads(spec, config):
    """Every variable that a pod sets is read by its Collector's configuration, and the file is named."""
    text = (TOP / CONFIGURATIONS[config]).read_text()
    names = {one["name"] for one in collector(spec).get("env", ())}
    known = set(re.findall(r"\$\{env:(\w+)", text))
    assert {name for name in names if OURS.fullmatch(name)} <= known
    told = "\n".join(path.read_text() for path in FILES)
    assert f"create configmap {config} --from-file=config.yaml={CONFIGURATIONS[config]}" in told


def test_services_lead_to_ports_of_their_pods():
    """What a service points at is a port of a pod that it selects; addresses name services that exist."""
    services = [p.values[0] for p in OBJECTS if p.values[0]["kind"] == "Service"]
    workloads = [p.values[0] for p in OBJECTS if "template" in p.values[0].get("spec", {})]
    for service in services:
        wanted = service["spec"]["selector"]
        (found,) = (w for w in workloads if w["spec"]["template"]["metadata"]["labels"] == wanted)
        ports = {port["name"] for port in collector(found["spec"]["template"]["spec"])["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    names = {service["metadata"]["name"] for service in services}
    addressed = re.findall(
        r"(otelcol-\w+)\.observability\.svc", "".join(f.read_text() for f in FILES)
    )
    assert set(addressed) == names


def test_all_run_one_tested_version():
    """Every Collector is of the version that the configurations are checked with."""
    images = {collector(spec)["image"] for spec, _ in pods()}
    (image,) = images
    version = image.rpartition(":")[2]
    for name in ("sidecar", "gateway"):
        assert (
            f"Checked with Collector {version}" in (TOP / f"deploy/fleet/{name}.yaml").read_text()
        )


def test_no_pod_may_do_more_than_it_has_to():
    """No container runs as root, writes to its root file system, or gains privileges."""
    for spec, _ in pods():
        assert spec["securityContext"]["runAsNonRoot"]
        for one in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert one["securityContext"]["readOnlyRootFilesystem"]
            assert not one["securityContext"]["allowPrivilegeEscalation"]
            assert one["resources"]["limits"]["memory"]
