from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planfold.errors import Permanent
from planfold.executors.files import contents, workspace
from planfold.executors.files.listing import _matches
from planfold.executors.files.tools import FileExecutor, files_in
from planfold.executors.files.workspace import Workspace
from planfold.planner.commands import StepCompleted, TaskFailed
from planfold.planner.tasks import Effect
from planfold.testing.executors import ToolRun, run_tool

TOOLS = {executor.tool.name: executor for executor in files_in()}
SECRET = "outside-and-secret"


async def call(root: Path, tool: str, steps: dict[str, Any] | None = None, **given: Any) -> ToolRun:
    return await run_tool(TOOLS[tool], given, workspace=root, steps=steps)


async def refused(root: Path, tool: str, **given: Any) -> str:
    ran = await call(root, tool, **given)
    assert isinstance(ran.outcome, TaskFailed)
    assert not ran.outcome.retryable
    return ran.outcome.error


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a secret beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text(SECRET)
    made = tmp_path / "work"
    made.mkdir()
    return made


def version(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class TestDescriptions:
    def test_names_and_effects(self) -> None:
        effects = {name: executor.tool.effect for name, executor in TOOLS.items()}
        assert effects == {
            "read_file": Effect.Safe,
            "list_files": Effect.Safe,
            "write_file": Effect.Keyed,
            "edit_file": Effect.Keyed,
        }

    @pytest.mark.parametrize("tool", TOOLS)
    def test_schemas_are_strict(self, tool: str) -> None:
        schema = jsonschema_rs.Draft202012Validator(TOOLS[tool].tool.parameters)
        given = {"path": "a", "content": "x", "old": "a", "new": "b"}
        own = {key: given[key] for key in TOOLS[tool].tool.parameters["properties"] if key in given}
        assert schema.is_valid(own)
        assert not schema.is_valid(own | {"more": 1})
        assert not schema.is_valid(own | {"path": 1})

    @pytest.mark.parametrize("tool", TOOLS)
    async def test_unknown_arguments_are_refused(self, root: Path, tool: str) -> None:
        assert tool in await refused(root, tool, path="a", odd=1)


class TestRead:
    async def test_text_with_its_version(self, root: Path) -> None:
        (root / "a.txt").write_bytes("one\ntwo\näöü".encode())
        assert (await call(root, "read_file", path="a.txt")).result == {
            "path": "a.txt",
            "text": "one\ntwo\näöü",
            "first_line": 1,
            "last_line": 3,
            "total_lines": 3,
            "bytes": 14,
            "version": version("one\ntwo\näöü".encode()),
        }

    @given(
        st.lists(st.text("ab\r é€😀", max_size=12), max_size=12),
        st.booleans(),
        st.integers(1, 14),
        st.integers(0, 14),
        st.integers(1, 7),
    )
    def test_line_ranges(
        self, lines: list[str], ends: bool, first: int, more: int, chunk: int
    ) -> None:
        text = "\n".join(lines) + ("\n" if ends and lines else "")
        expected = text.split("\n")
        expected = [f"{line}\n" for line in expected[:-1]] + expected[-1:]
        expected = [line for line in expected if line]
        with pytest.MonkeyPatch.context() as patch, in_file(text.encode()) as descriptor:
            patch.setattr(contents, "_CHUNK", chunk)
            found = contents.read_lines(descriptor, first, first + more)
        assert found["text"] == "".join(expected[first - 1 : first + more])
        assert found["total_lines"] == len(expected)
        assert found["version"] == version(text.encode())

    async def test_a_long_text_ends_after_a_whole_line(self, root: Path) -> None:
        (root / "a").write_text("x" * 99 + "\n" + "y" * 99 + "\n" + "z" * 99)
        executor = FileExecutor(TOOLS["read_file"].tool, keep=250)
        found = (await run_tool(executor, {"path": "a"}, workspace=root)).result
        assert found["text"] == "x" * 99 + "\n" + "y" * 99 + "\n"
        assert (found["last_line"], found["total_lines"], found["truncated"]) == (2, 3, True)
        rest = (await run_tool(executor, {"path": "a", "first_line": 3}, workspace=root)).result
        assert rest["text"] == "z" * 99
        assert "truncated" not in rest

    async def test_one_endless_line_is_cut_between_characters(self, root: Path) -> None:
        (root / "a").write_text("é" * 1000)
        executor = FileExecutor(TOOLS["read_file"].tool, keep=101)
        found = (await run_tool(executor, {"path": "a"}, workspace=root)).result
        assert found["text"] == "é" * 50
        assert found["truncated"]

    @pytest.mark.parametrize("content", [b"\0\1\2", b"\x89PNG\r\n\x1a\n" + b"\xff\xfe" * 90])
    async def test_what_is_no_text_is_described(self, root: Path, content: bytes) -> None:
        (root / "a").write_bytes(content)
        found = (await call(root, "read_file", path="a")).result
        assert found == {
            "path": "a",
            "binary": True,
            "bytes": len(content),
            "version": version(content),
        }

    async def test_other_encodings_are_marked(self, root: Path) -> None:
        (root / "a").write_bytes("all of this is text, naïve text".encode("latin-1"))
        found = (await call(root, "read_file", path="a")).result
        assert found["not_utf8"]
        assert found["text"].startswith("all of this is text, na")

    async def test_wrong_ranges(self, root: Path) -> None:
        (root / "a").write_text("x")
        assert "count from 1" in await refused(root, "read_file", path="a", first_line=0)
        error = await refused(root, "read_file", path="a", first_line=3, last_line=2)
        assert "must not be before" in error

    def test_a_file_without_an_end(self) -> None:
        with in_file(b"x" * 2000) as descriptor, pytest.raises(Permanent, match="use shell"):
            contents.read_lines(descriptor, 1, None, limit=1000)


@contextmanager
def in_file(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("test")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class TestPaths:
    """What is refused in any case."""

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("../outside/secret.txt", '".."'),
            ("a/../../outside/secret.txt", '".."'),
            ("..", '".."'),
            ("/etc/passwd", "outside the workspace"),
            ("/proc/self/environ", "outside the workspace"),
            ("/", "outside the workspace"),
            ("a\0b", "NUL"),
            ("", "empty"),
            ("  ", "empty"),
            ("x" * 300, "name is too long"),
            ("x/" * 3000, "limit is 4,096"),
            ("missing", "no such file"),
            ("missing/file", "no such file"),
            ("a.txt/b", "not a folder"),
            (".", "not a file"),
            ("folder", "a folder, not a file"),
        ],
    )
    async def test_reading(self, root: Path, path: str, why: str) -> None:
        (root / "a.txt").write_text("x")
        (root / "folder").mkdir()
        assert why in await refused(root, "read_file", path=path)

    @pytest.mark.parametrize("tool", ["read_file", "write_file", "edit_file", "list_files"])
    @pytest.mark.parametrize("path", ["link", "folder/link", "way/secret.txt", "way", "proc/self"])
    async def test_links_are_not_followed(self, root: Path, tool: str, path: str) -> None:
        (root / "folder").mkdir()
        (root / "link").symlink_to("../outside/secret.txt")
        (root / "folder" / "link").symlink_to(root / "a")
        (root / "way").symlink_to(root.parent / "outside")
        (root / "proc").symlink_to("/proc")
        more: dict[str, Any] = {}
        if tool == "write_file":
            more = {"content": "overwritten"}
        if tool == "edit_file":
            more = {"old": SECRET, "new": "overwritten"}
        assert "symbolic link" in await refused(root, tool, path=path, **more)
        assert (root.parent / "outside" / "secret.txt").read_text() == SECRET
        assert not (root / "a").exists()

    @pytest.mark.parametrize("tool", ["read_file", "write_file", "edit_file"])
    async def test_pipes_sockets_and_devices(self, root: Path, tool: str) -> None:
        os.mkfifo(root / "pipe")
        (root / "folder").mkdir()
        server = socket.socket(socket.AF_UNIX)
        with server, contextmanager(in_folder)(root):
            server.bind("socket")
        names = ["pipe", "socket"]
        if os.geteuid() == 0:
            try:
                os.mknod(root / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
                names.append("device")
            except PermissionError:
                pass
        more: dict[str, Any] = {"content": "x"} if tool == "write_file" else {}
        if tool == "edit_file":
            more = {"old": "a", "new": "b"}
        for name in names:
            assert "pipe, socket or device" in await refused(root, tool, path=name, **more)

    async def test_an_absolute_path_inside_will_do(self, root: Path) -> None:
        (root / "a.txt").write_text("x")
        found = (await call(root, "read_file", path=str(root / "a.txt"))).result
        assert found["path"] == "a.txt"

    async def test_the_workspace_itself_may_be_a_link(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "alias").symlink_to(root)
        await call(tmp_path / "alias", "write_file", path="a.txt", content="x")
        for path in ("a.txt", str(tmp_path / "alias" / "a.txt"), str(root / "a.txt")):
            found = (await call(tmp_path / "alias", "read_file", path=path)).result
            assert found["path"] == "a.txt"
        assert "outside" in await refused(
            tmp_path / "alias", "read_file", path=str(tmp_path / "outside" / "secret.txt")
        )

    async def test_what_is_planfolds_own(self, root: Path) -> None:
        (root / ".planfold" / "files").mkdir(parents=True)
        (root / ".planfold" / "db").write_text("x")
        (root / "planfold.toml").write_text("x")
        for path in ("planfold.toml", "sub/Planfold.TOML", ".planfold/db", "a/.PLANFOLD/x"):
            assert "belongs to planfold" in await refused(
                root, "write_file", path=path, content="y"
            )
        for path in (".git/hooks/pre-commit", "sub/.git/config", ".git"):
            assert "belongs to git" in await refused(root, "write_file", path=path, content="y")
        assert not (root / ".git").exists()
        assert "belongs to planfold" in await refused(
            root, "edit_file", path="planfold.toml", old="x", new="y"
        )
        assert (await call(root, "read_file", path="planfold.toml")).result["text"] == "x"

    async def test_results_may_be_read_and_the_database_never(self, root: Path) -> None:
        files = root / ".planfold" / "db.files"
        files.mkdir(parents=True)
        (files / "1-1-stdout.txt").write_text("long")
        (root / ".planfold" / "db").write_text("database")
        (root / "db.link").hardlink_to(root / ".planfold" / "db")
        space = Workspace(root, files, root / ".planfold" / "db")
        with space.file(space.parts(str(files / "1-1-stdout.txt"))) as descriptor:
            assert os.read(descriptor, 9) == b"long"
        for path in (".planfold/db", "db.link"):
            with pytest.raises(Permanent), space.file(space.parts(path)):
                pass
        with pytest.raises(Permanent, match="belongs to planfold"):
            space.allow_writing(space.parts(".planfold/db.files/x"))

    async def test_no_descriptor_is_left_behind(self, root: Path) -> None:
        (root / "a" / "b").mkdir(parents=True)
        (root / "a" / "b" / "c").write_text("x")
        before = len(os.listdir("/proc/self/fd"))
        for path in ("a/b/c", "a/b", "a/b/missing", "a/b/c/d"):
            await call(root, "read_file", path=path)
        await call(root, "list_files")
        await call(root, "write_file", path="a/new/x", content="y")
        await call(root, "write_file", path="a/b", content="y")
        assert len(os.listdir("/proc/self/fd")) <= before


def in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


NAMES = st.sampled_from(["a", "b", "way", "up", "self", "..", ".", "", "file", "é", "x" * 300])
ANY_PATH = st.one_of(
    st.lists(NAMES, max_size=6).map("/".join),
    st.lists(NAMES, max_size=5).map(lambda names: "/" + "/".join(names)),
    st.text(max_size=30),
    st.text("/.~\\\0a", max_size=20),
)


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace full of links that lead out of it."""
    base = tmp_path_factory.mktemp("trap")
    (base / "outside" / "a").mkdir(parents=True)
    for name in ("file", "a/file", "b"):
        (base / "outside" / name).write_text(SECRET)
    root = base / "work"
    (root / "a" / "b").mkdir(parents=True)
    for folder in (root, root / "a", root / "a" / "b"):
        (folder / "way").symlink_to(base / "outside")
        (folder / "up").symlink_to("..")
        (folder / "self").symlink_to("/proc/self/root")
        (folder / "file").write_text("inside")
    return root


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_PATH)
def test_for_any_path_nothing_outside_is_opened(trap: Path, path: str) -> None:
    space = Workspace(trap)
    try:
        parts = space.parts(path)
        with space.file(parts) as descriptor:
            real = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            content = os.read(descriptor, 100)
    except (Permanent, OSError):
        return
    assert real.is_relative_to(trap)
    assert content == b"inside"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_PATH)
def test_for_any_path_nothing_outside_is_written(trap: Path, path: str) -> None:
    space = Workspace(trap)
    outside = trap.parent / "outside"
    before = {p: p.stat().st_mtime_ns for p in trap.parent.rglob("*") if not p.is_relative_to(trap)}
    try:
        parts = space.parts(path)
        if parts and parts[-1] != "file":  # its content is what the other test reads
            space.replace(parts, b"inside")
    except (Permanent, OSError):
        pass
    after = {p: p.stat().st_mtime_ns for p in trap.parent.rglob("*") if not p.is_relative_to(trap)}
    assert before == after
    assert (outside / "file").read_text() == SECRET


class Swapper(threading.Thread):
    """Makes a folder a link to the outside and a folder again, as fast as it can."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.root = root
        self.swaps = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        inside, link, name = (str(self.root / part) for part in ("inside", "link", "name"))
        while not self.stopped.is_set():
            os.rename(name, inside)
            try:
                os.rename(link, name)
            except OSError:  # the one who writes made a folder of this name since
                self.restore(inside, name)
                continue
            os.rename(name, link)
            self.restore(inside, name)
            self.swaps += 1

    def restore(self, inside: str, name: str) -> None:
        while True:
            try:
                os.rename(inside, name)
                return
            except OSError:
                shutil.rmtree(name, ignore_errors=True)


@pytest.mark.parametrize("create", [False, True])
def test_a_folder_that_becomes_a_link_in_between(root: Path, create: bool) -> None:
    outside = root.parent / "outside"
    (root / "name").mkdir()
    (root / "name" / "secret.txt").write_text("inside")
    (root / "link").symlink_to(outside)
    space, swapper = Workspace(root), Swapper(root)
    swapper.start()
    reached = refusals = 0
    try:
        while reached < 60 or refusals < 60 or swapper.swaps < 300:
            assert swapper.is_alive()
            try:
                if create:
                    space.replace(("name", "secret.txt"), b"inside")
                else:
                    with space.file(("name", "secret.txt")) as descriptor:
                        assert os.read(descriptor, 100) == b"inside"
                reached += 1
            except (Permanent, OSError):
                refusals += 1
    finally:
        swapper.stopped.set()
        swapper.join()
    assert [p.name for p in outside.iterdir()] == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == SECRET


class TestList:
    async def test_upper_levels_first(self, root: Path) -> None:
        (root / "b" / "c").mkdir(parents=True)
        (root / "a.py").write_text("12")
        (root / "b" / "c" / "d.py").write_text("1")
        (root / "b" / "e.txt").write_text("")
        (root / "way").symlink_to(root.parent / "outside")
        os.mkfifo(root / "z")
        assert (await call(root, "list_files")).result == {
            "path": ".",
            "entries": [
                {"path": "a.py", "type": "file", "bytes": 2},
                {"path": "b", "type": "folder"},
                {"path": "way", "type": "link"},
                {"path": "z", "type": "other"},
                {"path": "b/c", "type": "folder"},
                {"path": "b/e.txt", "type": "file", "bytes": 0},
                {"path": "b/c/d.py", "type": "file", "bytes": 1},
            ],
        }

    async def test_globs(self, root: Path) -> None:
        for name in ("a.py", "src/b.py", "src/deep/c.py", "src/deep/d.txt"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("")

        async def listed(**given: Any) -> list[str]:
            result = (await call(root, "list_files", **given)).result
            return [entry["path"] for entry in result["entries"]]

        assert await listed(glob="*.py") == ["a.py", "src/b.py", "src/deep/c.py"]
        assert await listed(glob="src/*.py") == ["src/b.py"]
        assert await listed(glob="src/**/*.py") == ["src/b.py", "src/deep/c.py"]
        assert await listed(glob="**/d*") == ["src/deep", "src/deep/d.txt"]
        assert await listed(path="src", glob="*/c.py") == ["src/deep/c.py"]
        assert await listed(recursive=False) == ["a.py", "src"]

    async def test_bounds_are_marked(self, root: Path) -> None:
        for number in range(30):
            (root / f"{number:02}").write_text("")
        result = (await call(root, "list_files", limit=10)).result
        assert [entry["path"] for entry in result["entries"]] == [f"{n:02}" for n in range(10)]
        assert result["truncated"]
        assert "truncated" not in (await call(root, "list_files", limit=30)).result

    async def test_git_and_planfold_are_not_entered(self, root: Path) -> None:
        for name in (".git", ".planfold"):
            (root / name).mkdir()
            (root / name / "x").write_text("")
        found = (await call(root, "list_files")).result["entries"]
        assert [entry["path"] for entry in found] == [".git", ".planfold"]

    def test_no_pattern_is_slow(self) -> None:
        pattern = ("**", "*a*a*a*a*a*a*a*a*b") * 20
        assert not _matches(pattern, ("a" * 255,) * 100)

    @given(st.lists(st.sampled_from("ab"), max_size=6), st.lists(st.sampled_from(["a", "b", "**"])))
    def test_stars_stand_for_any_folders(self, path: list[str], pattern: list[str]) -> None:
        assert _matches(tuple(pattern), tuple(path)) == slow_match(pattern, path)


def slow_match(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return slow_match(pattern[1:], path) or bool(path and slow_match(pattern, path[1:]))
    return bool(path) and path[0] == pattern[0] and slow_match(pattern[1:], path[1:])


class TestWrite:
    async def test_a_new_file_and_the_folders_above_it(self, root: Path) -> None:
        result = (await call(root, "write_file", path="a/b/c.txt", content="é\n")).result
        expected = version("é\n".encode())
        assert result == {"path": "a/b/c.txt", "bytes": 3, "version": expected, "changed": True}
        assert (root / "a/b/c.txt").read_text() == "é\n"
        again = (await call(root, "write_file", path="a/b/c.txt", content="é\n")).result
        assert again == result | {"changed": False}

    async def test_mode_and_hard_links_are_kept_apart(self, root: Path) -> None:
        (root / "run.sh").write_text("old")
        (root / "run.sh").chmod(0o750)
        (root / "other").hardlink_to(root / "run.sh")
        await call(root, "write_file", path="run.sh", content="new")
        assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o750
        assert (root / "other").read_text() == "old"

    async def test_versions_guard(self, root: Path) -> None:
        given: dict[str, Any] = {"path": "a", "content": "1"}
        assert "does not exist" in await refused(
            root, "write_file", **given, if_version=version(b"x")
        )
        first = (await call(root, "write_file", **given, if_version="new")).result
        given["content"] = "2"
        assert "at version" in await refused(root, "write_file", **given, if_version="new")
        second = await call(root, "write_file", **given, if_version=first["version"])
        assert second.result["changed"]
        # The same call again, after a crash: it is done.
        again = await call(root, "write_file", **given, if_version=first["version"])
        assert again.result == second.result | {"changed": False}

    async def test_what_is_no_text_is_written_as_json(self, root: Path) -> None:
        await call(root, "write_file", path="a", content={"b": [1, None]})
        assert (root / "a").read_text() == '{"b":[1,null]}\n'

    async def test_nothing_is_left_when_it_fails(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (root / "a").write_text("old")

        def full(descriptor: int, data: Any) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(workspace.os, "write", full)
        ran = await call(root, "write_file", path="a", content="new")
        assert isinstance(ran.outcome, TaskFailed)
        assert ran.outcome.retryable
        assert "No space left" in ran.error
        assert os.listdir(root) == ["a"]
        assert (root / "a").read_text() == "old"

    async def test_too_much(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = "x" * (contents.SMALL_LIMIT + 1)
        assert "more than" in await refused(root, "write_file", path="a", content=content)

    async def test_not_into_a_folder_that_may_not_be_written(self, root: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        os.chmod(root, 0o500)
        assert "permission denied" in await refused(root, "write_file", path="a", content="x")


class TestEdit:
    async def test_one_place(self, root: Path) -> None:
        (root / "a").write_bytes(b"one\r\ntwo\r\nthree")
        ran = await call(root, "edit_file", path="a", old="two\r\n", new="2\r\n")
        content = b"one\r\n2\r\nthree"
        assert ran.result == {"path": "a", "replaced": 1, "version": version(content)}
        assert (root / "a").read_bytes() == content

    async def test_several_places(self, root: Path) -> None:
        (root / "a").write_text("x\ny\nx\n")
        error = await refused(root, "edit_file", path="a", old="x", new="z")
        assert "2 times (lines 1, 3)" in error
        ran = await call(root, "edit_file", path="a", old="x", new="z", all=True)
        assert ran.result["replaced"] == 2
        assert (root / "a").read_text() == "z\ny\nz\n"

    async def test_what_is_close_is_shown(self, root: Path) -> None:
        (root / "a").write_text("def begin(self):\n    return  1\n\ndef end(self): pass\n")
        error = await refused(root, "edit_file", path="a", old="def begin(this):", new="x")
        assert "not in the file" in error
        assert "1: def begin(self):" in error
        error = await refused(root, "edit_file", path="a", old="    return 1", new="x")
        assert "other spaces" in error
        error = await refused(root, "edit_file", path="a", old="nothing", new="def end(self)")
        assert "already present, on line 4" in error

    async def test_what_makes_no_sense(self, root: Path) -> None:
        (root / "a").write_bytes(b"x\xff")
        assert "same text" in await refused(root, "edit_file", path="a", old="x", new="x")
        assert "UTF-8" in await refused(root, "edit_file", path="a", old="x", new="y")
        assert "no such file" in await refused(root, "edit_file", path="b", old="x", new="y")
        assert "at version" in await refused(
            root, "edit_file", path="a", old="x", new="y", if_version=version(b"")
        )

    @pytest.mark.parametrize("new", ["b and a", "b", ""])
    async def test_an_edit_that_was_done_before_a_crash_is_recognised(
        self, root: Path, new: str
    ) -> None:
        given = {"path": "a", "old": "a", "new": new}
        (root / "a").write_text("a")
        first = await run_tool(TOOLS["edit_file"], given, workspace=root)
        again = await run_tool(TOOLS["edit_file"], given, workspace=root, steps=first.steps)
        assert again.result == first.result
        assert (root / "a").read_text() == new

    async def test_an_edit_that_was_only_begun_is_done(self, root: Path) -> None:
        given = {"path": "a", "old": "a", "new": "aa"}
        (root / "a").write_text("a")
        first = await run_tool(TOOLS["edit_file"], given, workspace=root)
        (root / "a").write_text("a")  # as if the crash had come before the file was replaced
        again = await run_tool(TOOLS["edit_file"], given, workspace=root, steps=first.steps)
        assert again.result == first.result
        assert (root / "a").read_text() == "aa"

    async def test_a_file_that_another_program_has_changed_since(self, root: Path) -> None:
        given = {"path": "a", "old": "a", "new": "aa"}
        (root / "a").write_text("a")
        first = await run_tool(TOOLS["edit_file"], given, workspace=root)
        (root / "a").write_text("aa and more")
        again = await run_tool(
            TOOLS["edit_file"], given | {"all": True}, workspace=root, steps=first.steps
        )
        assert "changed since" in again.error
        assert (root / "a").read_text() == "aa and more"

    async def test_a_change_between_look_and_write(self, root: Path) -> None:
        (root / "a").write_text("a")

        def meanwhile(event: object) -> None:
            if isinstance(event, StepCompleted):
                (root / "a").write_text("a, by somebody else")

        ran = await run_tool(
            TOOLS["edit_file"],
            {"path": "a", "old": "a", "new": "b"},
            workspace=root,
            on_event=meanwhile,
        )
        assert "at version" in ran.error
        assert (root / "a").read_text() == "a, by somebody else"


def test_swapping_needs_the_walk(root: Path) -> None:
    """The attack works against the obvious way: look at the real path, then open it."""
    (root / "name").mkdir()
    (root / "name" / "secret.txt").write_text("inside")
    (root / "link").symlink_to(root.parent / "outside")
    checked = (root / "name" / "secret.txt").resolve().is_relative_to(root)
    os.rename(root / "name", root / "inside")
    os.rename(root / "link", root / "name")
    assert checked
    assert (root / "name" / "secret.txt").read_text() == SECRET
