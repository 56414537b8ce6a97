"""Long errors: what matters survives, and it fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.compaction.errors import compact_error_message

TRACEBACK = """\
Traceback (most recent call last):
  File "/app/main.py", line 3, in <module>
    run()
{noise}
  File "/app/deep.py", line 99, in load
    return data["name"]
KeyError: 'name'"""

noise = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(st.text() | st.lists(noise, max_size=60).map("\n".join), st.integers(-5, 600))
def test_it_fits_and_is_the_same_every_time(error: str, limit: int) -> None:
    short = compact_error_message(error, limit)
    assert len(short) <= max(limit, 0)
    assert short == compact_error_message(error, limit)
    if len(error.strip()) <= limit:
        assert short == error.strip()


@given(st.lists(noise, max_size=60), st.integers(0, 60), st.integers(150, 2_000))
def test_the_last_line_that_names_an_error_is_kept(
    lines: list[str], place: int, limit: int
) -> None:
    root = "ValueError: port must be a number"
    quiet = [line.translate({ord(c): "x" for c in "eEwWaAnNdDtT:"}) for line in lines]
    text = "\n".join([*quiet[:place], root, *quiet[place:]])
    assert root in compact_error_message(text, limit)


def test_a_traceback_keeps_its_first_line_its_place_and_its_cause() -> None:
    text = TRACEBACK.format(noise="    calls calls calls\n" * 500)
    short = compact_error_message(text, 200)
    assert short.startswith("Traceback (most recent call last):")
    assert short.endswith("KeyError: 'name'")
    assert "[...]" in short


def test_the_cause_is_kept_where_a_summary_follows_it() -> None:
    text = "cc -c a.c\n" * 200 + "a.c:7:3: error: expected ';'\n" + "note\n" * 200 + "make: stop"
    short = compact_error_message(text, 200)
    assert "a.c:7:3: error: expected ';'" in short
    assert short.endswith("make: stop")


def test_a_single_long_line_keeps_both_ends() -> None:
    short = compact_error_message("Boom: " + "x" * 10_000 + " at the end", 100)
    assert short.startswith("Boom: ")
    assert short.endswith("at the end")
    assert 95 <= len(short) <= 100


def test_one_long_line_does_not_push_out_the_others() -> None:
    short = compact_error_message("HTTPError: 500\n" + "{" * 5_000, 150)
    assert short.startswith("HTTPError: 500\n")
    assert short.endswith("{{{")


@pytest.mark.parametrize("limit", [0, 1, 10, 59])
def test_a_tiny_limit_keeps_the_beginning(limit: int) -> None:
    assert compact_error_message("x" * 100, limit) == "x" * limit


@pytest.mark.parametrize("piece", ["x", "a.b/", "-", "Err", "\n", "a.c:"])
def test_a_huge_error_costs_little(piece: str) -> None:
    """A pattern that backtracks would take hours here."""
    assert len(compact_error_message(piece * 300_000 + "!", 2_000)) <= 2_000
