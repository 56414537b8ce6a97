"""The Dockerfile: what it copies is enough to build the wheel, and its commands run as written, as
an unprivileged user. Where there is a builder of images, the image is built."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import httpx2
import pytest
from packaging.requirements import Requirement

from testbed.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
PORT = "7433"
USER = 10_001
FIRST = ["FROM", "WORKDIR", "COPY", "RUN", "COPY", "COPY", "RUN"]
SECOND = ["FROM", "COPY", "RUN", "COPY", "RUN", "RUN", "USER", "WORKDIR", "VOLUME", "ENV"]
SECOND += ["ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"]


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments; no line of the file is continued."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    split = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in split]


def of(name: str) -> list[str]:
    """The arguments of all instructions of this name."""
    return [rest for each, rest in instructions() if each == name]


def words_of(name: str) -> list[str]:
    """Those of the last one, which is JSON."""
    text = of(name)[-1]
    found: list[str] = json.loads(text[text.index("[") :])
    return found


def installs() -> list[list[str]]:
    return [shlex.split(rest) for rest in of("RUN") if rest.startswith("python -m pip")]


def test_its_instructions_are_those_that_are_tested_here() -> None:
    """A further one needs a test."""
    assert [name for name, _ in instructions()] == [*FIRST, *SECOND]
    for rest in of("RUN"):
        assert not set(rest) & set("$`|&;<>*"), "words only: the test runs it without a shell"
    assert of("USER") == [f"{USER}:{USER}"]
    assert of("RUN")[-1] == f"useradd --uid {USER} --create-home --home-dir /data planfold"
    assert (of("WORKDIR")[-1], of("VOLUME"), of("EXPOSE")) == ("/data", ["/data"], [PORT])


def test_a_user_without_a_home_folder_can_be_given() -> None:
    """``docker run --user``: with PostgreSQL, too, all that is written is in the volume."""
    assert dict(rest.split("=", 1) for rest in of("ENV"))["XDG_STATE_HOME"].startswith("/data/")


def test_what_it_copies_is_there_and_not_ignored() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for rest in of("COPY"):
        if not rest.startswith("--from=build "):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert f"!{source.partition('/')[0]}" in allowed


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8").splitlines()
    split = [line.partition("==") for line in lines if line[:1].isalnum()]
    return {name: version.split()[0] for name, _, version in split}


# --- its commands ------------------------------------------------------------------------------


class Image:
    """What the image holds, in ``folder``: ``python`` with planfold, and ``/data``. ``options``
    let a process run as the user of the image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        interpreter = _for_everybody() if os.geteuid() == 0 else None
        self.options: dict[str, Any] = {"user": USER, "group": USER} if interpreter else {}
        environment = folder / "env"
        venv = [interpreter or sys.executable, "-m", "venv", "--without-pip", str(environment)]
        subprocess.run(venv, check=True)
        self.python = str(environment / "bin" / "python")
        (folder / "data").mkdir()
        if self.options:
            os.chown(folder / "data", USER, USER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def here(self, word: str) -> str:
        """A word of the Dockerfile with the paths and the port of this image."""
        for path in ("/wheels", "/data"):
            word = word.replace(path, f"{self.folder}{path}")
        return word.replace(PORT, self.port)

    def words(self, *words: str) -> list[str]:
        programs = {"python": self.python, "planfold": str(Path(self.python).parent / "planfold")}
        return [programs.get(words[0], words[0]), *map(self.here, words[1:])]

    def pip(self, words: list[str], folder: Path) -> None:
        """``python -m pip ...``, for the environment of this image."""
        target = ["--python", self.python] if "install" in words else []
        command = [sys.executable, "-m", "pip", "--quiet", *target, *map(self.here, words[3:])]
        subprocess.run(command, cwd=folder, check=True)

    def add_locked(self) -> None:
        """The packages of the locks: those that the tests run with."""
        [site] = (self.folder / "env").glob("lib/*/site-packages")
        (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def start(self, *words: str) -> subprocess.Popen[str]:
        given = dict(rest.split("=", 1) for rest in of("ENV"))
        env = {"PATH": os.defpath, "HOME": self.here("/data")}
        env |= {name: self.here(value) for name, value in given.items()}
        return subprocess.Popen(
            self.words(*words),
            cwd=self.folder / "data",
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **self.options,
        )

    def code_of(self, *words: str) -> int:
        with self.start(*words) as process:
            process.communicate(timeout=PATIENCE_S)
        return process.returncode


def _for_everybody() -> str | None:
    """An interpreter of this version that the user of the image can run."""
    version = "import sys; print(sys.version_info[:2])"
    for candidate in (
        os.path.realpath(sys.executable),
        "/usr/bin/python3",
        "/usr/local/bin/python3",
    ):
        try:
            found = subprocess.run(
                [candidate, "-c", version], capture_output=True, text=True, user=USER, group=USER
            )
        except OSError:
            continue
        if found.stdout.strip() == str(sys.version_info[:2]):
            return candidate
    return None


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Made by the commands of the Dockerfile; the packages of the locks are those of the tests."""
    with tempfile.TemporaryDirectory(prefix="planfold-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the user of the image
        found, build = Image(folder), folder / "build"
        build.mkdir()
        for rest in of("COPY")[: FIRST.count("COPY")]:
            *sources, target = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / source, build / target, ignore=ignored)
                else:
                    shutil.copy(ROOT / source, build / target)
        locks = [words for words in installs() if "--require-hashes" in words]
        assert [Path(words[-1]).name for words in locks] == ["runtime.txt", "image.txt"]
        for words in installs():
            if words not in locks:
                found.pip(words, build)
        found.add_locked()
        yield found


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_its_lock_has_what_all_extras_need(image: Image) -> None:
    """At the versions that the tests run with."""
    [metadata] = (image.folder / "env").glob("lib/*/site-packages/planfold-*.dist-info")
    distribution, locked = PathDistribution(metadata), pins("image")
    assert locked.items() <= pins("dev").items()
    extras = distribution.metadata.get_all("Provides-Extra") or []
    assert {"server", "postgres"} <= set(extras)
    for text in distribution.requires or []:
        needed = Requirement(text)
        name = needed.name.lower()
        assert name in locked
        assert needed.specifier.contains(locked[name])


def test_it_serves_answers_and_stops_as_an_unprivileged_user(image: Image) -> None:
    health = words_of("HEALTHCHECK")
    assert image.code_of(*health) != 0  # nothing runs yet
    serve = [*words_of("ENTRYPOINT"), *words_of("CMD"), "--port", PORT]
    with image.start(*serve) as service:
        try:
            wait_until(lambda: service.poll() is not None or image.code_of(*health) == 0)
            assert service.poll() is None, service.communicate()
            with image.start("planfold", "token", "create", "ada") as made:
                token = made.communicate(timeout=PATIENCE_S)[0].strip()
            bearer = {"Authorization": f"Bearer {token}"}
            address = f"http://localhost:{image.port}"
            me = httpx2.get(f"{address}/v1/me", headers=bearer, timeout=PATIENCE_S)
            assert me.json()["name"] == "ada"
            database = image.folder / "data" / "planfold.db"
            assert database.stat().st_uid == image.options.get("user", os.geteuid())
            service.terminate()
            service.communicate(timeout=PATIENCE_S)
            assert service.returncode == 0
        finally:
            service.kill()


# --- the image itself --------------------------------------------------------------------------


def _builder() -> str | None:
    """A program that builds and runs images here."""
    for name in ("docker", "podman"):
        if (
            shutil.which(name)
            and not subprocess.run([name, "info"], capture_output=True).returncode
        ):
            return name
    return None


@pytest.mark.soak  # it loads the base image and all packages
@pytest.mark.timeout(1_800)
def test_the_image_is_built_and_runs() -> None:
    builder = _builder()
    if builder is None:
        pytest.skip("no docker or podman runs here")

    def run(*words: str) -> str:
        done = subprocess.run([builder, *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    run("build", "--tag", "planfold-test", ".")
    container = run("run", "--detach", "--init", "planfold-test")
    try:
        health = [builder, "exec", container, *words_of("HEALTHCHECK")]
        wait_until(lambda: subprocess.run(health, capture_output=True).returncode == 0)
        assert run("exec", container, "id", "-u") == str(USER)
        assert run("exec", container, "planfold", "token", "create", "ada").startswith("pft_")
        run("stop", container)
        assert run("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
    finally:
        run("rm", "--force", container)
