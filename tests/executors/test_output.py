from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.executors.output import MIB, Output, free_bytes, output_path, reserve_of, spare_bytes


def output(folder: Path, **options: Any) -> Output:
    return Output(folder / "sub" / "out", **{"keep": 16, "file_limit": 1_000_000, **options})


def test_short_output_stays_in_memory(tmp_path: Path) -> None:
    out = output(tmp_path)
    out.write(b"a" * 10)
    out.write(b"b" * 6)
    assert out.whole() == b"a" * 10 + b"b" * 6
    assert not out.path.exists()


def test_long_output_is_whole_in_the_file(tmp_path: Path) -> None:
    out = output(tmp_path)
    for number in range(100):
        out.write(b"%03d," % number)
    out.close()
    assert out.path.read_bytes() == b"".join(b"%03d," % number for number in range(100))
    assert out.whole() is None
    assert out.text() == f"000,\n[... 384 bytes left out, see {out.path} ...]\n097,098,099,"


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_characters_are_not_cut_in_two(tmp_path: Path, character: str, shift: int) -> None:
    out = output(tmp_path, keep=20)
    out.write((b"x" * shift) + character.encode() * 50 + b"y" * (3 - shift))
    out.close()
    assert "\ufffd" not in out.text()


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(4, 60))
def test_any_bytes_in_any_pieces(pieces: list[bytes], keep: int) -> None:
    import tempfile

    whole = b"".join(pieces)
    with tempfile.TemporaryDirectory() as folder:
        out = Output(Path(folder) / "out", keep=keep, file_limit=10_000)
        for piece in pieces:
            out.write(piece)
        out.close()
        assert out.total == len(whole)
        if len(whole) <= keep:
            assert out.whole() == whole
        else:
            assert out.path.read_bytes() == whole
            assert not out.truncated
        out.text().encode()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    out = output(tmp_path)
    out.path.parent.mkdir()
    out.path.symlink_to(victim)
    out.write(b"x" * 100)
    out.close()
    assert victim.read_text() == "precious"
    assert out.path.read_bytes() == b"x" * 100


def test_a_disk_that_refuses_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("not a folder")
    out = output(tmp_path)
    out.write(b"x" * 100)
    out.close()
    assert out.truncated
    assert out.total == 100
    assert "(cut off)" in out.text()


@pytest.mark.parametrize("plan_id", ["../x", "/etc", "a/b", "", ".", "..", "ü\0", "x" * 500])
def test_names_stay_inside(attempt: Any, plan_id: str) -> None:
    context = attempt.context(plan_id=plan_id)
    path = output_path(context, "out")
    assert path.parent.parent == context.files_dir
    assert path.parent.name not in ("", ".", "..")
    assert len(path.parent.name) < 100


def test_room_is_left_on_the_disk(tmp_path: Path) -> None:
    disk = 10_000
    path = tmp_path / "sub" / "out"

    def spare(_: int) -> int:
        return disk - 2_000 - path.stat().st_size

    out = output(tmp_path, spare=spare)
    for _ in range(100):
        out.write(b"x" * 700)
    out.close()
    kept = path.read_bytes()
    assert out.truncated
    assert out.total == 70_000
    assert kept.startswith(b"x" * 8_000 + b"\n[... the rest was not kept: the disk is nearly full")
    assert len(kept) < 8_100
    assert "(cut off)" in out.text()


def test_a_disk_that_is_nearly_full_at_the_start(tmp_path: Path) -> None:
    out = output(tmp_path, spare=lambda _: -5)
    out.write(b"x" * 700)
    out.write(b"y" * 700)
    out.close()
    assert out.truncated
    assert out.path.read_bytes() == b"\n[... the rest was not kept: the disk is nearly full ...]\n"


def test_once_cut_off_nothing_more_is_written(tmp_path: Path) -> None:
    room = iter([100, 0, 1_000, 1_000])
    out = output(tmp_path, spare=lambda _: next(room))
    for _ in range(4):
        out.write(b"x" * 100)
    out.close()
    assert out.path.read_bytes().startswith(b"x" * 100 + b"\n[...")


def test_a_file_that_is_cut_off_at_its_limit_says_so(tmp_path: Path) -> None:
    out = output(tmp_path, file_limit=500)
    out.write(b"x" * 400)
    out.write(b"x" * 400)
    out.close()
    kept = out.path.read_bytes()
    assert len(kept) == 500
    assert kept.endswith(b"x\n[... the rest was not kept: it is too long ...]\n")


@pytest.mark.parametrize(
    ("size", "reserve"),
    [
        (0, 0),
        (3 * MIB, 1.5 * MIB),
        (100 * MIB, 50 * MIB),
        (1_000 * MIB, 64 * MIB),
        (10_000 * MIB, 500 * MIB),
        (10_000_000 * MIB, 1024 * MIB),
    ],
)
def test_the_reserve(size: int, reserve: float) -> None:
    assert reserve_of(size) == reserve


def test_a_real_disk_says_what_is_free(tmp_path: Path) -> None:
    free, size = free_bytes(tmp_path)
    assert 0 < free <= size


def test_a_file_system_that_does_not_say_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = SimpleNamespace(f_bavail=0, f_frsize=4096, f_blocks=0)
    monkeypatch.setattr(os, "statvfs", lambda _: silent)
    assert spare_bytes(0) > 10**15
