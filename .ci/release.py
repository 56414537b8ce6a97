"""``make release``: build a release, try it as a user would, and say what a release would change.

Without ``--tag`` nothing outside dist/ is changed. ``--tag`` cuts the changelog, freezes the golden
histories, commits both, builds again from that commit and tags it, where nothing speaks against
it. Pushing the tag and uploading dist/ remain to be done by hand.
"""

from __future__ import annotations

import datetime
import hashlib
import json
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
CHANGELOG = ROOT / "CHANGELOG.md"
GOLDEN = ROOT / "tests/golden"
FROZEN = GOLDEN / "released.json"  # name of a file of a released history -> its SHA-256
UNRELEASED = "## [Unreleased]"
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
        report(make(version))
        objections = what_is_missing(version)
        for objection in objections:
            print(f"Before the release: {objection}")
        if "--tag" not in arguments:
            for step in steps(version):
                print(f"Dry run, not done: {step}")
            print("To do it: make release TAG=1")
            return 0
        if objections:
            return 1
        release(version)
    except Failed as fault:
        print(f"release: {fault}", file=sys.stderr)
        return 1
    return 0


def make(version: str) -> list[Path]:
    """Build and try everything that is published."""
    wheel, sdist = build(version, DIST)
    with tempfile.TemporaryDirectory() as scratch:
        again = build(version, Path(scratch))
        if [path.read_bytes() for path in again] != [wheel.read_bytes(), sdist.read_bytes()]:
            raise Failed("two builds of the same commit differ")
    return [wheel, sdist, smoke_test(wheel, version)]


def report(artifacts: list[Path]) -> None:
    for path in artifacts:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{digest}  {path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")


def steps(version: str) -> list[str]:
    """What ``--tag`` does."""
    new = sorted(set(golden_digests()) - set(frozen()))
    return [
        f"CHANGELOG.md: cut [{version}] - {today()} from [Unreleased]",
        f"{FROZEN.relative_to(ROOT)}: freeze {', '.join(new) or 'nothing new'}",
        f"commit both, build again, and tag the commit as v{version}",
    ]


def release(version: str) -> None:
    """Cut, freeze, commit, build again from the commit, and tag it."""
    CHANGELOG.write_text(cut(CHANGELOG.read_text("utf-8"), version, today()), encoding="utf-8")
    FROZEN.write_text(json.dumps(golden_digests(), indent=2) + "\n", encoding="utf-8")
    git("add", str(CHANGELOG), str(FROZEN))
    git("commit", "--message", f"Release {version}")
    report(make(version))
    git("tag", "--annotate", f"v{version}", "--message", f"planfold {version}")
    print(f"Tagged {git('rev-parse', '--short', 'HEAD')} as v{version}.")
    print("Not pushed, and nothing was uploaded: git push --follow-tags, then upload dist/.")


def cut(changelog: str, version: str, date: str) -> str:
    """The changelog with what is unreleased as a section of ``version``."""
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {date}", 1)


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def golden_digests() -> dict[str, str]:
    """Name -> SHA-256 of every golden history and its state."""
    paths = sorted(GOLDEN.glob("plan-v*.json*"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def frozen() -> dict[str, str]:
    found: dict[str, str] = json.loads(FROZEN.read_text("utf-8"))
    return found


def project_version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def build(version: str, folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist, which hold all that they should. The time in them is that of the
    commit, so that anybody can build the same bytes."""
    if folder == DIST:
        shutil.rmtree(DIST, ignore_errors=True)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--target", "wheel"]
    epoch = {"SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct")}
    run([*command, "--directory", str(folder)], ROOT, epoch)
    wheel = folder / f"planfold-{version}-py3-none-any.whl"
    sdist = folder / f"planfold-{version}.tar.gz"
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


def smoke_test(wheel: Path, version: str) -> Path:
    """Install the wheel into an empty environment, run a plan there, and write what is in it."""
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
        run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools"], folder)
        bill = bill_of_materials(python, version)
    print(f"planfold {version} was installed into an empty environment and ran a plan.")
    return bill


def bill_of_materials(python: str, version: str) -> Path:
    """The SBOM (CycloneDX) of planfold and of what pip installed with it for ``python``."""
    path = DIST / f"planfold-{version}.cdx.json"
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
    command += ["--short-PURLs", "--mc-type", "library", "--pyproject", "pyproject.toml"]
    run([*command, "--output-file", str(path), python], ROOT)
    bill = json.loads(path.read_text(encoding="utf-8"))
    if not any(part["name"] == "msgspec" for part in bill["components"]):
        raise Failed(f"{path.name} does not list what planfold needs")
    return path


def what_is_missing(version: str) -> list[str]:
    """What speaks against tagging this commit."""
    missing = []
    changelog = CHANGELOG.read_text(encoding="utf-8")
    if re.search(rf"^## \[{re.escape(version)}\]", changelog, re.MULTILINE):
        missing.append(f"CHANGELOG.md has a section [{version}]; raise the version")
    elif not re.search(rf"^{re.escape(UNRELEASED)}\n+(?!## )\S", changelog, re.MULTILINE):
        missing.append("CHANGELOG.md needs changes below [Unreleased]")
    digests = golden_digests()
    for name in sorted(name for name, digest in frozen().items() if digests.get(name) != digest):
        missing.append(f"tests/golden/{name} was released; restore it")
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


def run(command: list[str], folder: Path, environ: dict[str, str] | None = None) -> str:
    """What a command prints; Failed, with all that it said, where it fails."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PLANFOLD_DB")}
    env = {**inherited, **(environ or {})}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
