from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.executors.output import Output, output_path


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
