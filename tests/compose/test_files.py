"""The compose files, the image and the passwords, without an engine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from roleml.cli.main import parser
from tests.compose.stack import FILES, ROOT, SCHEMA, VARIABLE, load, services, with_cluster

SECRET = re.compile("PASS|COOKIE")


@pytest.fixture
def written(tmp_path: Path) -> dict[str, str]:
    """What make-env.sh writes."""
    return make_env(tmp_path)


def make_env(folder: Path) -> dict[str, str]:
    subprocess.run([str(ROOT / "brokers/make-env.sh")], cwd=folder, check=True, capture_output=True)
    lines = (folder / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_files_are_as_the_compose_specification_wants_them(file: Path) -> None:
    jsonschema.Draft201909Validator(SCHEMA).validate(load(file))


@pytest.mark.parametrize("stack", [services(), with_cluster()], ids=["one broker", "cluster"])
def test_who_waits_for_somebody_waits_for_what_there_is(stack: dict[str, dict]) -> None:
    for name, service in stack.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in stack[other], f"{name} waits for the health of {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert stack[other]["restart"] == "no", f"{name} waits for the end of {other}"


def test_what_serves_has_a_health_check_and_starts_again_and_what_ends_does_not() -> None:
    stack = with_cluster()
    once = {name for name, service in stack.items() if service["restart"] == "no"}
    assert once == {"setup", "conductor"}
    for name in stack.keys() - once:
        assert stack[name]["restart"] == "unless-stopped"
        assert stack[name]["healthcheck"]["test"][0] == "CMD"


def test_no_password_is_in_the_files_and_all_come_from_one_command(written: dict[str, str]) -> None:
    for file in FILES:
        for name, service in services(file).items():
            for key, value in service.get("environment", {}).items():
                if SECRET.search(key):
                    found = VARIABLE.fullmatch(value)
                    assert found, f"{key} of {name} is written down"
                    assert found[3] == "run brokers/make-env.sh first"
        used = {match[1] for match in VARIABLE.finditer(file.read_text(encoding="utf-8"))}
        assert used <= set(written)


def test_passwords_are_random_kept_and_for_the_owner_only(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, again, other = make_env(tmp_path), make_env(tmp_path), make_env(tmp_path / "other")
    assert first == again
    assert first["ROLEML_BROKER_PASSWORD"] != other["ROLEML_BROKER_PASSWORD"] != other["ROLEML_ERLANG_COOKIE"]
    assert len(first["ROLEML_BROKER_PASSWORD"]) == 48
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    assert int(first["ROLEML_UID"]) == (tmp_path / "results").stat().st_uid != 0


def test_ports_are_open_on_this_machine_only() -> None:
    ports = [port for service in with_cluster().values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:5672:5672", "127.0.0.1:15672:15672"]


def test_what_is_mounted_is_there_and_only_the_results_can_be_written() -> None:
    for service in with_cluster().values():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if not source.startswith("."):
                assert source in load(FILES[0])["volumes"] | load(FILES[1])["volumes"]
            elif source == "./results":
                assert rest == "/results"
            else:
                assert (ROOT / source).exists()
                assert rest.endswith(":ro")


def test_the_commands_are_commands_of_roleml_and_name_files_that_are_there() -> None:
    configs = set()
    for name in ("setup", "server", "client", "conductor"):
        options = parser().parse_args(services()[name]["command"])
        if name == "setup":
            assert (ROOT / str(options.file).lstrip("/")).is_file()
        else:
            configs.add(options.config)
            assert (ROOT / "examples/compose" / options.config).is_file()
    assert configs == {"server.yaml", "client.yaml", "conductor.yaml"}
    assert "{host}" in parser().parse_args(services()["client"]["command"]).name


def test_the_health_of_actors_is_the_file_that_they_make() -> None:
    for name in ("server", "client"):
        service = services()[name]
        ready_file = str(parser().parse_args(service["command"]).ready_file)
        assert service["healthcheck"]["test"] == ["CMD", "test", "-e", ready_file]
        assert Path(ready_file).parent == Path(service["tmpfs"][0])


def test_the_nodes_of_the_cluster_are_called_what_they_look_for() -> None:
    text = (ROOT / "brokers/cluster.conf").read_text(encoding="utf-8")
    nodes = re.findall(r"nodes\.\d = rabbit@(\w+)", text)
    stack = with_cluster()
    assert nodes == [stack[name]["hostname"] for name in ("broker", "broker2", "broker3")]
    assert stack["client"]["environment"]["ROLEML_BROKER"] == f"amqp://{','.join(nodes)}/roleml"
    cookies = {stack[name]["environment"]["RABBITMQ_ERLANG_COOKIE"] for name in nodes}
    assert len(cookies) == 1
    for name in nodes:
        mounted = " ".join(stack[name]["volumes"])
        assert all(file in mounted for file in ("rabbitmq.conf", "cluster.conf", "enabled_plugins"))


def test_the_image_has_what_it_copies_no_torch_and_no_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    sources = [word for line in lines if line.startswith("COPY ") and "--from" not in line
               for word in line.split()[1:-1]]  # fmt: skip
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored.count("*") == 1
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored, f"{source} is copied, and kept out by .dockerignore"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (extras,) = [line.partition("=")[2] for line in lines if line.startswith("ARG EXTRAS=")]
    (installed,) = re.findall(rf"^{extras} = (.*)$", project, re.MULTILINE)
    assert "scikit-learn" in installed
    assert "torch" not in installed
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER roleml"
    assert 'ENTRYPOINT ["roleml"]' in lines
    assert "[project.scripts]\nroleml = " in project


def test_the_actors_of_the_stack_need_nothing_that_is_not_in_the_image() -> None:
    for file in (ROOT / "examples/compose").glob("*.yaml"):
        text = file.read_text(encoding="utf-8").replace("!include", "")
        assert yaml.safe_load(text)["name"] == file.stem
        assert "torch" not in text
