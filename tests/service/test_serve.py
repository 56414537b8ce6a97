"""``planfold serve``: real processes, killed and stopped, and what it refuses to do."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from serve_process import PATIENCE_S, serving, start, stopped

from planfold.cli.main import cli
from planfold.errors import ConfigurationError
from planfold.service.perimeter import names_of
from planfold.service.runtime_file import (
    RuntimeFile,
    read_runtime_file,
    runtime_path,
    write_runtime_file,
)

STEP = {"tool": "shell", "arguments": {"argv": ["true"]}, "effect": "safe"}
PLAN = {"tasks": [STEP | {"description": "One"}, STEP | {"description": "Two", "depends_on": [1]}]}


@pytest.fixture(autouse=True)
def state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("USER", "ann")
    monkeypatch.chdir(tmp_path)


def client(runtime: RuntimeFile) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {runtime.token}"}
    return httpx2.Client(base_url=runtime.address, headers=headers, timeout=PATIENCE_S)


def submit(http: httpx2.Client, key: str, text: str = "") -> httpx2.Response:
    body: dict[str, Any] = {"text": text} if text else {"draft": PLAN}
    body["approve"] = True
    return http.post("/v1/plans", json=body, headers={"Idempotency-Key": key})


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited without effect until {what}"
        time.sleep(0.02)


def statuses(http: httpx2.Client) -> dict[str, str]:
    found: dict[str, str] = {}
    before: dict[str, Any] = {}
    while True:
        page = http.get("/v1/plans", params={"limit": 500, **before}).json()
        found |= {plan["id"]: plan["status"] for plan in page["plans"]}
        if page["next"] is None:
            return found
        before = {"before": page["next"]}


@pytest.mark.crash
@pytest.mark.parametrize("kills", [2])
def test_what_was_accepted_is_there_after_kill_9(
    each_database: str, tmp_path: Path, kills: int
) -> None:
    accepted: dict[str, str] = {}
    for attempt in range(kills):
        with serving(each_database, folder=tmp_path) as (process, runtime):
            threads = [
                threading.Thread(target=load, args=(runtime, f"{attempt}-{n}", accepted))
                for n in range(4)
            ]
            enough = len(accepted) + 25
            for thread in threads:
                thread.start()
            wait_until(lambda at=enough: len(accepted) >= at, "plans are accepted")  # type: ignore[misc]
            process.kill()
            for thread in threads:
                thread.join(PATIENCE_S)
    with (
        serving(each_database, folder=tmp_path) as (process, runtime),
        client(runtime) as http,
    ):
        found = statuses(http)
        assert set(accepted.values()) <= set(found)
        assert len(set(accepted.values())) == len(accepted)
        wait_until(lambda: set(statuses(http).values()) == {"completed"}, "all have completed")
        # Repeating the requests changes nothing.
        key, plan_id = next(iter(accepted.items()))
        assert submit(http, key).json()["plan_id"] == plan_id
        assert len(statuses(http)) == len(found)
        assert stopped(process) == (0, "")


def load(runtime: RuntimeFile, name: str, accepted: dict[str, str]) -> None:
    """Submit plans until the service is gone."""
    with client(runtime) as http:
        for number in range(10_000):
            key = f"{name}-{number}"
            try:
                answer = submit(http, key)
            except httpx2.TransportError:
                return
            assert answer.status_code == 201, answer.text
            accepted[key] = answer.json()["plan_id"]


def test_several_instances_serve_one_database(postgres_database: str, tmp_path: Path) -> None:
    """Each accepts, either works; a token is valid on both, and so is its end."""
    with (
        serving(postgres_database, "--no-worker", folder=tmp_path) as (_, first),
        client(first) as one,
    ):
        ids = [submit(one, f"k{number}").json()["plan_id"] for number in range(5)]
        assert set(statuses(one).values()) == {"running"}
        with (
            serving(postgres_database, folder=tmp_path) as (process, second),
            client(second) as other,
        ):
            assert second.token == first.token  # the file is the same, on one machine
            wait_until(lambda: set(statuses(one).values()) == {"completed"}, "they are done")
            assert set(statuses(other)) == set(ids)
            made = one.post("/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()
            bearer = {"Authorization": f"Bearer {made['secret']}"}
            assert other.get("/v1/me", headers=bearer).status_code == 200
            assert other.delete(f"/v1/tokens/{made['id']}").status_code == 204
            assert one.get("/v1/me", headers=bearer).status_code == 401
            assert stopped(process) == (0, "")


def test_sigterm_ends_streams_and_lets_tasks_end(each_database: str, tmp_path: Path) -> None:
    with (
        serving(each_database, folder=tmp_path) as (process, runtime),
        client(runtime) as http,
    ):
        go = tmp_path / "go"
        waits = (
            f"1. Run `sh -c 'touch {tmp_path}/began; while ! test -e {go}; do sleep 0.02; done'`"
        )
        plan_id = submit(http, "k", waits).json()["plan_id"]
        wait_until((tmp_path / "began").exists, "the task runs")
        with http.stream("GET", f"/v1/plans/{plan_id}/events") as events:
            lines = events.iter_lines()
            assert next(lines).startswith("retry:")
            process.send_signal(signal.SIGTERM)
            assert list(lines)  # to its end: the connection was not reset
        go.touch()
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert not (read_runtime_file(runtime_path(each_database)) or runtime).address
    with (
        serving(each_database, "--no-worker", folder=tmp_path) as (_, again),
        client(again) as http,
    ):
        assert http.get(f"/v1/plans/{plan_id}").json()["status"] == "completed"


def test_the_runtime_file_is_for_its_owner(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/plans.db"
    path = runtime_path(database)
    path.write_text("not a runtime file")
    path.chmod(0o666)
    with serving(database, folder=tmp_path) as (_, runtime):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with client(runtime) as http:
            assert http.get("/v1/me").json()["name"] == "ann"
    with serving(database, folder=tmp_path) as (_, again):
        assert again.token == runtime.token  # sessions that began with it continue


def test_a_user_without_a_home_folder_learns_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    database = "postgresql://db.example.org/planfold"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigurationError, match="no home folder; set XDG_STATE_HOME"):
        runtime_path(database)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match=r"cannot be written: .*set XDG_STATE_HOME"):
        write_runtime_file(runtime_path(database), RuntimeFile(address="", token="", pid=1))


def test_a_tool_of_a_model_cannot_read_the_runtime_file(tmp_path: Path) -> None:
    from planfold.errors import Permanent
    from planfold.executors.files.workspace import Workspace

    database = tmp_path / "plans.db"
    secret = runtime_path(f"sqlite:///{database}")
    secret.write_text("{}")
    os.link(secret, tmp_path / "harmless.txt")
    workspace = Workspace(tmp_path, database=database)
    for name in (secret.name, "harmless.txt"):
        with (
            pytest.raises(Permanent, match="planfold's database"),
            workspace.file(workspace.parts(name)),
        ):
            pass


REFUSED = {
    "no TLS": (["--host", "0.0.0.0"], "give a certificate and its key"),
    "a name": (["--host", "plans.example.org"], "give a certificate and its key"),
    "no address": (["--host", "0.0.0.0", "--behind-proxy"], "say at which address clients reach"),
    "half of TLS": (["--tls-certificate", "x.pem"], "both a certificate and its key"),
    "no file": (["--tls-certificate", "x", "--tls-key", "y"], "the certificate cannot be used"),
    "no address of a service": (["--public-url", "plans.example.org"], "not an address of a"),
    "a path": (["--public-url", "https://a.example/path"], "not an address of a service"),
    "not here": (["--host", "127.99.99.99", "--port", "1"], ""),
}


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "not here"])
def test_what_is_not_safe_is_refused(name: str, tmp_path: Path) -> None:
    words, message = REFUSED[name]
    process = start(f"sqlite:///{tmp_path}/plans.db", *words, folder=tmp_path)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert message in errors


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/plans.db"
    with serving(database, folder=tmp_path) as (_, runtime):
        port = runtime.address.rpartition(":")[2]
        other = start(f"sqlite:///{tmp_path}/other.db", "--port", port, folder=tmp_path)
        _, errors = other.communicate(timeout=PATIENCE_S)
        assert other.returncode == 2
        assert f"cannot listen at 127.0.0.1:{port}" in errors
        assert "choose another port" in errors


def test_https(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    words = ["--tls-certificate", certificate, "--tls-key", key]
    with serving(f"sqlite:///{tmp_path}/plans.db", *words, folder=tmp_path) as (_, runtime):
        assert runtime.address.startswith("https://127.0.0.1:")
        with httpx2.Client(base_url=runtime.address, verify=False) as http:
            assert http.get("/livez").text == "ok\n"
    assert names_of(["https://plans.example.org"]).lasting
    assert not names_of(["https://localhost:7433"]).lasting  # it would be for all its ports


def make_certificate(folder: Path) -> tuple[str, str]:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    bare = key.private_bytes(pem, form, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(bare)
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_a_proxy_in_front(tmp_path: Path) -> None:
    words = ["--behind-proxy", "--public-url", "https://plans.example.org", "--log-json"]
    with serving(f"sqlite:///{tmp_path}/plans.db", *words, folder=tmp_path) as (process, runtime):
        assert runtime.address == "https://plans.example.org"
        assert process.stdout is not None
    assert process.returncode == -signal.SIGKILL


def planfold(*words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command in this process."""
    done = CliRunner().invoke(cli, words, prog_name="planfold")
    return done.exit_code, done.stdout, done.stderr


def test_tokens_on_the_command_line(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/plans.db"
    db = ["--db", database]
    code, secret, hint = planfold(*db, "token", "create", "ci", "--scope", "write")
    assert code == 0
    assert secret.startswith("pft_")
    assert "Revoke it with: planfold" in hint
    _, listed, _ = planfold("token", "list", "--json", *db)
    [entry] = json.loads(listed)
    assert (entry["name"], entry["scopes"], entry["status"]) == ("ci", ["write"], "valid")
    assert secret.strip() not in listed
    with serving(database, folder=tmp_path) as (_, runtime), client(runtime) as http:
        bearer = {"Authorization": f"Bearer {secret.strip()}"}
        assert http.get("/v1/me", headers=bearer).json()["scopes"] == ["write"]
        assert planfold(*db, "token", "revoke", entry["id"]) == (0, "revoked\n", "")
        assert http.get("/v1/me", headers=bearer).status_code == 401
    _, text, _ = planfold("token", "list", *db)
    assert "ci  write  revoked" in text
    code, _, errors = planfold("token", "revoke", "0" * 16, *db)
    assert (code, errors) == (2, f"planfold: there is no token {'0' * 16!r}\n")
    assert planfold("token", "create", "x", "--scope", "all", *db)[0] == 2
    assert planfold("token", "create", "red", "--project", "red", *db)[0] == 0
    assert "red  read  of red  valid" in planfold("token", "list", *db)[1]
    code, _, errors = planfold("token", "create", "x", "--project", "a b", *db)
    assert (code, "a project has up to 100 letters" in errors) == (2, True)
    assert planfold("token", "create", "a\nb", *db)[0] == 2


def test_an_idle_connection_does_not_delay_the_end(tmp_path: Path) -> None:
    """A request that does not arrive does not delay the end."""
    import socket

    with serving(f"sqlite:///{tmp_path}/plans.db", folder=tmp_path) as (process, runtime):
        host, port = runtime.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
            assert stopped(process) == (0, "")
