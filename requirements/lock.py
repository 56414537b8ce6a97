"""Write requirements/runtime.txt and dev.txt from pyproject.toml, or check that they are fresh.

``make lock`` writes them with uv and keeps the present pins where it can; ``make lock UPGRADE=1``
takes the newest versions. ``--check`` needs no network: each lock's header holds a hash of the
dependency tables it was made from.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {  # what each holds besides the project's own dependencies
    "dev": ["--group", "dev", "--all-extras"],
    "runtime": ["--group", "build", "--constraint", "requirements/dev.txt"],  # the same versions
}
HEADER = """\
# Python 3.11 to 3.14, Linux and macOS. Written by `make lock`: do not edit.
# dependency tables of pyproject.toml: sha256 {digest}
"""


def digest() -> str:
    """The hash of everything in pyproject.toml that decides what is installed."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    tables = {
        "build": pyproject["build-system"]["requires"],
        "python": project["requires-python"],
        "runtime": project["dependencies"],
        "extras": project.get("optional-dependencies", {}),
        "groups": pyproject["dependency-groups"],
    }
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()


def path_of(lock: str) -> Path:
    return ROOT / "requirements" / f"{lock}.txt"


def write(lock: str, options: list[str]) -> None:
    path = path_of(lock)
    command = ["uv", "pip", "compile", "pyproject.toml", *LOCKS[lock]]
    command += ["--universal", "--python-version", "3.11", "--only-binary", ":all:"]
    command += ["--generate-hashes", "--no-header", "--no-emit-index-url", "--quiet"]
    command += ["--output-file", str(path.relative_to(ROOT)), *options]
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True)
    locked = path.read_text(encoding="utf-8")
    path.write_text(HEADER.format(digest=digest()) + locked, encoding="utf-8")


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        header = HEADER.format(digest=digest())
        stale = [lock for lock in LOCKS if not path_of(lock).read_text("utf-8").startswith(header)]
        for lock in stale:
            print(f"requirements/{lock}.txt is older than pyproject.toml: run `make lock`")
        return 1 if stale else 0
    for lock in LOCKS:
        write(lock, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
