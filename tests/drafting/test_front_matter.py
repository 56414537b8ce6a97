"""Front matter of a text says of a plan what a YAML plan does; a key that no program has is a
fault, because it may be a misspelt one."""

from __future__ import annotations

import pytest

from planfold.drafting.text.drafter import load_text, parse_text
from planfold.errors import InvalidPlan

STEP = "1. Run `make`\n"


def with_front(lines: str) -> str:
    return f"---\n{lines}\n---\n{STEP}"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("unod: always", "line 2: there is no key 'unod' (did you mean 'undo'?)"),
        ("title: A\n\nundos: never", "line 4: there is no key 'undos' (did you mean 'undo'?)"),
        ("UNDO: always", "line 2: there is no key 'UNDO' (did you mean 'undo'?)"),
        ("tag: nightly", "line 2: there is no key 'tag' (did you mean 'tags'?)"),
        ("titel: A\nparam:\n  a: {}", "line 3: there is no key 'param' (did you mean 'params'?)"),
        (
            "owner: ops",
            "line 2: there is no key 'owner' (planfold reads title, params, tags, undo;",
        ),
        ('title: A\n"pause before": x', "line 3: there is no key 'pause before' (planfold reads"),
    ],
)
def test_a_key_that_no_program_has_is_refused_with_its_line(lines: str, said: str) -> None:
    with pytest.raises(InvalidPlan) as fault:
        load_text(with_front(lines))
    assert f"plan, front matter: {said}" in str(fault.value)
    assert parse_text(with_front(lines)).tasks, "a request to a model may hold anything"


def test_keys_of_other_programs_are_left_to_them_and_shown() -> None:
    lines = "layout: post\ntitle: Release\nDate: 2026-12-01\nauthors:\n- name: Ann\n# owner: ops"
    draft = load_text(with_front(lines))
    assert (draft.title, draft.tags, draft.undo) == ("Release", [], None)
    assert draft.notes == [lines]


def test_tags_are_those_of_the_plan() -> None:
    draft = load_text(with_front("title: A\ntags: [nightly, team/storage]"))
    assert (draft.title, draft.tags, draft.notes) == ("A", ["nightly", "team/storage"], [])
    with pytest.raises(InvalidPlan, match="plan, tags: must be a list of texts"):
        load_text(with_front("tags: nightly"))


def test_a_key_in_quotes_is_the_same_key() -> None:
    assert load_text(with_front("\"undo\": 'always'")).undo == "always"


def test_text_of_front_matter_in_the_middle_of_a_document_is_text() -> None:
    assert load_text(f"{STEP}\n---\nunod: always\n---\n").undo is None
