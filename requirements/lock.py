"""Write requirements/runtime.txt and dev.txt from pyproject.toml and the other locks from their
``.in`` files, or check that they are fresh.

``make lock`` writes them with uv and keeps the present pins where it can; ``make lock UPGRADE=1``
takes the newest versions. ``--check`` needs no network: each lock's header holds a hash of what it
was made from.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "dependency tables of pyproject.toml"
LOCKS = {  # what each is made from, and what it holds besides that
    "dev": (PROJECT, ["pyproject.toml", "--group", "dev", "--all-extras"]),
    "runtime": (
        PROJECT,
        # the same versions as dev
        ["pyproject.toml", "--group", "build", "--constraint", "requirements/dev.txt"],
    ),
    "image": (
        PROJECT,
        ["pyproject.toml", "--all-extras", "--constraint", "requirements/dev.txt"],
    ),
    "llm": ("requirements/llm.in", ["requirements/llm.in", "--no-deps"]),
    **{
        f"peers-{name}": (f"requirements/peers-{name}.in", [f"requirements/peers-{name}.in"])
        for name in ("langgraph", "dbos", "burr")
    },
}
HEADER = """\
# Python 3.11 to 3.14, Linux and macOS. Written by `make lock`: do not edit.
# {source}: sha256 {digest}
"""


def header(lock: str) -> str:
    """The first lines of a lock, with the hash of everything that decides what is installed."""
    source = LOCKS[lock][0]
    data = tables() if source == PROJECT else (ROOT / source).read_bytes()
    return HEADER.format(source=source, digest=hashlib.sha256(data).hexdigest())


def tables() -> bytes:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    found = {
        "build": pyproject["build-system"]["requires"],
        "python": project["requires-python"],
        "runtime": project["dependencies"],
        "extras": project.get("optional-dependencies", {}),
        "groups": pyproject["dependency-groups"],
    }
    return json.dumps(found, sort_keys=True).encode()


def path_of(lock: str) -> Path:
    return ROOT / "requirements" / f"{lock}.txt"


def write(lock: str, options: list[str]) -> None:
    path = path_of(lock)
    command = ["uv", "pip", "compile", *LOCKS[lock][1]]
    command += ["--universal", "--python-version", "3.11", "--only-binary", ":all:"]
    command += ["--generate-hashes", "--no-header", "--no-emit-index-url", "--quiet"]
    command += ["--output-file", str(path.relative_to(ROOT)), *options]
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True)
    locked = path.read_text(encoding="utf-8")
    path.write_text(header(lock) + locked, encoding="utf-8")


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        stale = [
            lock for lock in LOCKS if not path_of(lock).read_text("utf-8").startswith(header(lock))
        ]
        for lock in stale:
            print(f"requirements/{lock}.txt is older than what it is made from: run `make lock`")
        return 1 if stale else 0
    for lock in LOCKS:
        write(lock, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
