"""What runs Karar: the compose file and the image, by published rules and by what the code says of itself."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
import yaml

from streams.broker.jars import pinned, version_of
from streams.broker.kafka import PROPERTIES
from streams.commands.worker import END_SECONDS
from streams.core.targets import parse
from streams.settings import BY_NAME, LOCAL_BROKER
from tests.command import karar
from tests.shared import ROOT

DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose.yaml"
DOCKERFILE: Final = DEPLOY / "Dockerfile"
README: Final = (DEPLOY / "README.md").read_text("utf-8")
IMAGE: Final = DOCKERFILE.read_text("utf-8").replace("\\\n", "")
CHOSEN: Final[dict[str, Any]] = yaml.safe_load(COMPOSE.read_text("utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = CHOSEN["services"]
OURS: Final = {name: service for name, service in SERVICES.items() if "build" in service}
BIN: Final = Path(sys.executable).parent


def instruction(name: str) -> list[str]:
    """What the Dockerfile's instructions of that name say."""
    return re.findall(rf"^{name} (.+)$", IMAGE, re.MULTILINE)


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a service has mounted, and where."""
    for mount in service.get("volumes", ()):
        source, target, *_ = mount.split(":")
        yield source, target


def published() -> Iterator[tuple[str, str, int]]:
    """The service, the host's address and ports, and the container's port of all that is published."""
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            outside, inside = port.rsplit(":", 1)
            yield name, outside, int(inside)


def loaded(path: str) -> Any:
    """A YAML file of the deployment."""
    return yaml.safe_load((DEPLOY / path).read_text("utf-8"))


# -- By published rules ------------------------------------------------------------------------------------------------


def by_the_compose_specification(path: Path) -> subprocess.CompletedProcess[str]:
    """A compose file, judged by the published schema."""
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def by_hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    """A Dockerfile, judged by its linter."""
    return subprocess.run([str(BIN / "hadolint"), "--no-color", str(path)], capture_output=True, text=True, check=False)


def test_the_compose_file_is_valid_by_the_published_schema() -> None:
    """That of the Compose Specification."""
    judged = by_the_compose_specification(COMPOSE)

    assert judged.returncode == 0, judged.stdout


def test_a_word_that_compose_does_not_know_is_noticed(tmp_path: Path) -> None:
    """A rule that never fails holds nothing."""
    (tmp_path / "compose.yaml").write_text("services: {kafka: {image: x, imagination: y}}")

    assert "imagination" in by_the_compose_specification(tmp_path / "compose.yaml").stdout


def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    """Hadolint, with every rule."""
    judged = by_hadolint(DOCKERFILE)

    assert (judged.stdout, judged.returncode) == ("", 0)


def test_what_the_linter_of_dockerfiles_knows_is_noticed(tmp_path: Path) -> None:
    """A rule that never fails holds nothing."""
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp\n")

    assert "DL3006" in by_hadolint(tmp_path / "Dockerfile").stdout


# -- By what the code says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["compose.yaml", "Dockerfile", "README.md"])
def test_every_setting_that_is_named_exists(path: str) -> None:
    """`karar settings` has the list."""
    named = set(re.findall(r"KARAR_[A-Z_]+", (DEPLOY / path).read_text("utf-8")))

    assert named
    assert named <= set(BY_NAME)


def test_nothing_starts_without_a_pepper_of_its_own() -> None:
    """The default is the same everywhere, which makes pseudonyms that anybody can undo."""
    assert {service["environment"]["KARAR_PEPPER"].split(":?")[0] for service in OURS.values()} == {"${KARAR_PEPPER"}
    assert not {"KARAR_WEB_TOKEN", "KARAR_PEPPER"} & set(re.findall(r"^ENV (\w+)", IMAGE, re.MULTILINE))


def test_every_command_exists(tmp_path: Path) -> None:
    """With its options; each prints its help."""
    commands = [json.loads(instruction("CMD")[0]), *(service["command"] for service in OURS.values() if "command" in service)]

    assert instruction("ENTRYPOINT") == ['["karar"]']
    assert commands == [["worker"], ["topics"], ["demo", "--only-publish"]]
    assert [karar(tmp_path, *command, "--help").status for command in commands] == [0, 0, 0]


def test_kafka_is_the_one_that_everything_is_tried_with() -> None:
    """The version that `make jars` pinned."""
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version_of(pinned())}"


def test_kafka_is_alone_as_that_of_the_demo_is() -> None:
    """Nothing waits for copies that nobody has, and no topic appears by itself."""
    given = {name: str(value) for name, value in SERVICES["kafka"]["environment"].items()}
    alone = dict(re.findall(r"^(\S*(?:replication\.factor|min\.isr|auto\.create\.topics\.enable))=(.+)$", PROPERTIES, re.MULTILINE))

    assert len(alone) == 6
    assert {name: given["KAFKA_" + name.upper().replace(".", "_")] for name in alone} == alone


def test_workers_are_started_again_and_have_time_to_stop() -> None:
    """Whatever the status: 70 asks for it. What stops in order takes no longer than it may, and hears of it at any time."""
    assert SERVICES["worker"]["restart"] == "always"
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > END_SECONDS
    assert instruction("STOPSIGNAL") == ["SIGINT"]


@pytest.mark.parametrize("name", OURS)
def test_what_the_workers_expect_can_be_read(name: str) -> None:
    """The targets file, where the setting says that it is; by every service, because each may be asked for an audit."""
    (mounted,) = mounts(OURS[name])

    assert mounted == ("./targets.toml", OURS[name]["environment"]["KARAR_TARGETS"])
    assert {x.name for x in parse((DEPLOY / "targets.toml").read_text("utf-8")).objectives} == {"wait", "transfer_rate"}


def test_the_readme_says_what_has_no_effect_in_the_file_of_settings() -> None:
    """Whatever compose sets itself, but the pepper, which it takes from there, and where a worker listens."""
    told = README.split("`.env` may hold")[1].split("\n\n")[0]
    fixed = {name for service in OURS.values() for name in service["environment"]} - {"KARAR_PEPPER"}

    assert fixed | {"KARAR_WEB_HOST", "KARAR_WEB_PORT"} <= set(re.findall(r"KARAR_[A-Z_]+", told.split(" but ")[1]))


def test_the_readme_makes_what_its_commands_need() -> None:
    """A token as well: without one, no worker tells of single customers to whoever asks from outside its container."""
    start = README.split("## Start")[1].split("## Look")[0]

    assert re.findall(r"(KARAR_\w+)=%s", start) == ["KARAR_PEPPER", "KARAR_WEB_TOKEN"]


# -- Addresses ---------------------------------------------------------------------------------------------------------


def test_only_this_machine_is_answered() -> None:
    """Nothing that is published has a password."""
    assert [outside for _, outside, _ in published() if not outside.startswith("127.0.0.1:")] == []


def test_every_worker_has_a_port() -> None:
    """As many as there are workers, from the one on that a worker has by default."""
    (outside,) = [outside for name, outside, _ in published() if name == "worker"]
    first, last = map(int, outside.removeprefix("127.0.0.1:").split("-"))

    assert first == int(BY_NAME["KARAR_WEB_PORT"].default)
    assert last - first + 1 == SERVICES["worker"]["deploy"]["replicas"]
    assert instruction("EXPOSE") == [BY_NAME["KARAR_WEB_PORT"].default]


def test_kafka_is_found_from_inside_and_from_outside() -> None:
    """By Karar's services, and where every command looks on this machine if nothing is said."""
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")

    assert f"OUTSIDE://{LOCAL_BROKER}" in advertised
    assert {f"INSIDE://{service['environment']['KARAR_BROKER']}" for service in OURS.values()} <= set(advertised)
    assert ("kafka", LOCAL_BROKER, 9092) in published()


def test_everybody_asks_where_somebody_answers() -> None:
    """Prometheus its workers and Alertmanager, Grafana its Prometheus: by the names and ports of this file."""
    prometheus = loaded("prometheus/prometheus.yml")
    asked = {
        (name, found["port"]) for job in prometheus["scrape_configs"] for found in job.get("dns_sd_configs", ()) for name in found["names"]
    }
    static = [*prometheus["alerting"]["alertmanagers"], *prometheus["scrape_configs"]]
    targets = [target for x in static for config in x.get("static_configs", ()) for target in config["targets"]]
    for path in DEPLOY.glob("grafana/provisioning/datasources/*.yml"):
        targets += [source["url"].removeprefix("http://") for source in loaded(str(path))["datasources"]]
    asked |= {(host, int(port)) for host, port in (target.split(":") for target in targets)}
    itself = {("localhost", 9090), ("127.0.0.1", 9090)}

    assert {("worker", 6066), ("alertmanager", 9093), ("prometheus", 9090)} <= asked
    assert asked - itself <= {(name, inside) for name, _, inside in published()}


def test_the_readme_names_what_is_published() -> None:
    """And only that."""
    named = set(re.findall(r"\b127\.0\.0\.1:(\d+)", README))
    ports = {port for _, outside, _ in published() for port in outside.removeprefix("127.0.0.1:").split("-")}

    assert named == ports


# -- Files -------------------------------------------------------------------------------------------------------------


def test_everything_that_is_mounted_is_there() -> None:
    """Compose would make an empty folder of what is not; nobody may write to it."""
    paths = [(DEPLOY / source, f"{source}:{target}") for x in SERVICES.values() for source, target in mounts(x) if source.startswith(".")]
    written = [mount for x in SERVICES.values() for mount in x.get("volumes", ()) if mount.startswith(".") and not mount.endswith(":ro")]

    assert [told for path, told in paths if not path.exists()] == []
    assert written == []


def test_every_volume_is_used() -> None:
    """What is kept is kept by name."""
    named = [source for service in SERVICES.values() for source, _ in mounts(service) if not source.startswith(".")]

    assert sorted(named) == sorted(CHOSEN["volumes"])


def test_every_file_that_is_asked_for_is_mounted() -> None:
    """Configurations, dashboards and the page that Grafana begins with."""
    asked = [(name, argument.split("=", 1)[1]) for name in ("prometheus", "alertmanager") for argument in SERVICES[name]["command"][:1]]
    asked.append(("grafana", SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]))
    for path in DEPLOY.glob("grafana/provisioning/dashboards/*.yml"):
        asked += [("grafana", provider["options"]["path"]) for provider in loaded(str(path))["providers"]]

    assert len(asked) == 4
    for name, path in asked:
        found = [DEPLOY / source / Path(path).relative_to(target) for source, target in mounts(SERVICES[name]) if path.startswith(target)]
        assert [there.exists() for there in found] == [True], path


def test_the_image_gets_what_the_wheel_is_made_from_and_nothing_else() -> None:
    """What lies about in a working tree, secrets and compiled code included, stays there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    made_from = {"pyproject.toml", "constraints.txt", project["project"]["readme"], *project["project"]["license-files"]}
    made_from |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    first, *others = (line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#"))

    assert (first, others.pop(), others.pop()) == ("*", "**/*.so", "**/__pycache__")
    assert {line.removeprefix("!") for line in others} == made_from


# -- With as little as possible ----------------------------------------------------------------------------------------


def test_every_image_is_pinned() -> None:
    """By its version; ours is built. Both stages have the same Python: the second runs what the first, with a compiler, has installed."""
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    build, run = instruction("FROM")

    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", run)
    assert build == f"{run.replace('-slim', '')} AS build"
    assert {service["image"] for service in OURS.values()} == {"karar:local"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_drops_its_privileges(name: str) -> None:
    """No capability, no way to one, no file of the image that it could change: only Kafka's start script insists on that."""
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name != "kafka")
    assert not {"privileged", "cap_add", "pid", "network_mode", "devices"} & set(service)


def test_the_image_has_a_user_without_a_name() -> None:
    """A number, as Kubernetes wants it, and not that of root."""
    (user,) = instruction("USER")

    assert [int(number) > 0 for number in user.split(":")] == [True, True]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_stays_says_how_it_is(name: str) -> None:
    """Workers by the image's check; what ends by itself, or answers nobody, has none."""
    checked = SERVICES[name].get("healthcheck", {})

    if name == "worker":
        assert checked == {}
    elif name in OURS:
        assert checked == {"disable": True}
    else:
        assert checked["test"][0] == "CMD"


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A port where somebody answers to /healthz with that status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_the_image_asks_the_worker_how_it_is(status: int, healthy: bool) -> None:  # noqa: FBT001 - a column of the table
    """By its own Python, at the worker's own port, without a shell."""
    _, command = instruction("HEALTHCHECK")[0].split(" CMD ")
    program, *arguments = json.loads(command)
    assert program == "python"
    with answering(status) as port:
        asked = subprocess.run([sys.executable, *arguments], env={"KARAR_WEB_PORT": str(port)}, capture_output=True, check=False)

    assert (asked.returncode == 0) is healthy
    assert asked.stderr == b""
