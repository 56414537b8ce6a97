"""The systemd unit, the reverse proxy and the container in docs/howto/service.md."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from planfold.cli.commands.service import serve_command
from planfold.runtime.settings import Settings
from planfold.service.routes import PLAN_BYTES
from planfold.service.server import Binding, check_binding
from planfold.service.service import USUAL

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/howto/service.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(block("ini"))
    return parser["Service"]


def serve_options(words: list[str]) -> click.Context:
    """The options as the command reads them; ``--log-json`` would begin to log."""
    return serve_command.make_context("serve", [each for each in words if each != "--log-json"])


def test_the_unit_starts_the_service_and_lets_it_stop() -> None:
    service = unit()
    program, name, *words = shlex.split(service["ExecStart"])
    assert (Path(program).name, name) == ("planfold", "serve")
    given = serve_options(words).params
    binding = Binding(addresses=given["addresses"], behind_proxy=given["behind_proxy"])
    check_binding(binding)
    assert "--log-json" in words
    assert (service["Restart"], service["KillMode"]) == ("always", "mixed")
    assert float(service["TimeoutStopSec"]) > 5 + Settings().drain_s + 5  # answers, tasks, the end
    assert service["ProtectSystem"] == "strict"
    folder, state = service["ReadWritePaths"], re.findall(r"XDG_STATE_HOME=(\S+)", block("ini"))
    assert service["WorkingDirectory"] == folder
    assert state[0].startswith(f"{folder}/")  # else the runtime file cannot be written


def test_the_proxy_lets_everything_through_that_the_service_takes() -> None:
    proxy = dict(re.findall(r"^\s+(\w+)\s+([^{;]+);$", block("nginx"), re.MULTILINE))
    headers = dict(re.findall(r"proxy_set_header (\S+) (\S+);", block("nginx")))
    assert int(proxy["client_max_body_size"].removesuffix("m")) * 1024**2 > PLAN_BYTES
    assert float(proxy["proxy_read_timeout"].removesuffix("s")) > USUAL.heartbeat_s
    assert proxy["proxy_buffering"] == "off"
    assert headers["Host"] == "$host"
    assert headers["X-Forwarded-For"] == "$remote_addr"  # not what the client says
    port = serve_options([]).params["port"]
    assert proxy["proxy_pass"] == f"http://127.0.0.1:{port}"
    assert f"planfold serve --behind-proxy --public-url https://{proxy['server_name']}" in PAGE


def test_the_proxy_is_accepted_by_nginx(tmp_path: Path) -> None:
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not here")
    server = re.sub(r"listen 443 ssl;|ssl_\w+ .*;", "", block("nginx"))
    text = f"pid {tmp_path}/pid; events {{}} http {{ {server} }}"
    (tmp_path / "nginx.conf").write_text(text, encoding="utf-8")
    command = [nginx, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_containers_are_configured_to_serve() -> None:
    commands = PAGE.replace("\\\n", " ")
    served = re.findall(r"^docker run .* planfold serve (.*)$", commands, re.MULTILINE)
    assert served
    for words in served:
        given = serve_options(shlex.split(words)).params
        chosen = {name: given[name] for name in ("host", "addresses", "behind_proxy")}
        check_binding(Binding(**chosen))
