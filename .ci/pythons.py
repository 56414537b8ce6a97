"""``make test-pythons``: run the tests on each supported Python that this machine has.

Each version has an environment of its own, ``.venv-3.12`` and so on. Arguments are handed to
pytest: ``make test-pythons TESTS=tests/planner``. The last line says which versions ran.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
PROBE = "import sys, ensurepip, venv; print('{}.{}'.format(*sys.version_info))"


def main(tests: list[str]) -> int:
    passed: list[str] = []
    failed: list[str] = []
    absent: list[str] = []
    for version in VERSIONS:
        python = find(version)
        if python is None:
            absent.append(version)
            continue
        print(f"\n== Python {version}: {python}", flush=True)
        make = ["make", "--no-print-directory", "test", f"PYTHON={python}"]
        make += [f"VENV=.venv-{version}", f"TESTS={' '.join(tests)}"]
        done = subprocess.run(make, cwd=ROOT)
        (failed if done.returncode else passed).append(version)
    print(f"\nPassed: {listed(passed)}. Failed: {listed(failed)}. Not here: {listed(absent)}.")
    return 1 if failed or not passed else 0


def find(version: str) -> str | None:
    """An interpreter of that version that works and can make environments."""
    for python in candidates(version):
        try:
            said = subprocess.run([python, "-c", PROBE], capture_output=True, text=True)
        except OSError:
            continue
        if said.stdout.strip() == version:
            return python
    return None


def candidates(version: str) -> Iterator[str]:
    """On the path, and where pyenv and uv install."""
    if found := shutil.which(f"python{version}"):
        yield found
    for pattern in (".pyenv/versions/{}.*", ".local/share/uv/python/cpython-{}.*"):
        for folder in sorted(Path.home().glob(pattern.format(version)), reverse=True):
            yield str(folder / "bin/python3")


def listed(versions: list[str]) -> str:
    return ", ".join(versions) or "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
