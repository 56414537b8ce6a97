"""``make release``: build a release, try it as a user would, and say what would be tagged.

Without ``--tag`` nothing outside dist/ is changed. ``--tag`` makes the tag in this clone, where
nothing speaks against it; pushing it and uploading dist/ remain to be done by hand.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
PLAN = """\
# Smoke test

- Run `echo one` {#one effect=safe}
- Run `echo two` {#two effect=safe}

Then

1. Run `echo $one.stdout $two.stdout` {effect=safe}
"""


class Failed(Exception):
    """The release does not work."""


def main(arguments: list[str]) -> int:
    version = project_version()
    try:
        artifacts = build(version)
        smoke_test(artifacts[0], version)
    except Failed as fault:
        print(f"release: {fault}", file=sys.stderr)
        return 1
    for path in artifacts:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{digest}  {path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    objections = what_is_missing(version)
    for objection in objections:
        print(f"Before the release: {objection}")
    commit = git("rev-parse", "--short", "HEAD")
    if "--tag" not in arguments:
        print(f"Dry run. It would tag {commit} as v{version}: make release TAG=1")
        return 0
    if objections:
        return 1
    git("tag", "--annotate", f"v{version}", "--message", f"planfold {version}")
    print(f"Tagged {commit} as v{version}; not pushed, and nothing was uploaded.")
    return 0


def project_version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def build(version: str) -> tuple[Path, Path]:
    """The wheel and the sdist, which hold all that they should."""
    shutil.rmtree(DIST, ignore_errors=True)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--target", "wheel"]
    run([*command, "--directory", str(DIST)], ROOT)
    wheel = DIST / f"planfold-{version}-py3-none-any.whl"
    sdist = DIST / f"planfold-{version}.tar.gz"
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if ".dist-info/" not in name}
    expected = {name.removeprefix("src/") for name in tracked() if name.startswith("src/")}
    if packed != expected:
        raise Failed(f"wheel and src/ differ: {sorted(packed ^ expected)}")
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    if extra := names - tracked() - {"PKG-INFO"}:
        raise Failed(f"the sdist has files that git does not track: {sorted(extra)}")
    return wheel, sdist


def smoke_test(wheel: Path, version: str) -> None:
    """Install the wheel into an empty environment, and run a plan there."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        venv.create(folder / "env", with_pip=True)
        python, planfold = (str(folder / "env/bin" / name) for name in ("python", "planfold"))
        run([python, "-m", "pip", "install", "--quiet", str(wheel)], folder)
        if (said := run([planfold, "--version"], folder).strip()) != f"planfold {version}":
            raise Failed(f"planfold --version prints {said!r}, not planfold {version}")
        (folder / "plan.md").write_text(PLAN, encoding="utf-8")
        run([planfold, "run", "plan.md", "--yes"], folder)
        if "one two" not in run([planfold, "show", "--json"], folder):
            raise Failed("the plan's result is not in planfold show")
        run([planfold, "doctor"], folder)
    print(f"planfold {version} was installed into an empty environment and ran a plan.")


def what_is_missing(version: str) -> list[str]:
    """What speaks against tagging this commit."""
    missing = []
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\]", changelog, re.MULTILINE):
        missing.append(f"CHANGELOG.md needs a section [{version}] in the place of [Unreleased]")
    for name in sorted(tracked()):
        if name.endswith(".md") and name != "CHANGELOG.md":
            text = (ROOT / name).read_text(encoding="utf-8")
            for other in set(re.findall(r"planfold-(\d[\w.]*)-py3", text)) - {version}:
                missing.append(f"{name} names version {other}")
    if git("status", "--porcelain"):
        missing.append("commit or remove the changes that git status shows")
    if git("tag", "--list", f"v{version}"):
        missing.append(f"the tag v{version} exists; raise the version in pyproject.toml")
    return missing


def tracked() -> set[str]:
    return set(git("ls-files").splitlines())


def git(*arguments: str) -> str:
    return run(["git", *arguments], ROOT).strip()


def run(command: list[str], folder: Path) -> str:
    """What a command prints; Failed, with all that it said, where it fails."""
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PLANFOLD_DB")}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
