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


@pytest.mark.parametrize(
    "text",
    [
        "---\n# owner: ops\nundo: always\n---\n",
        "---\n\nundo: always\n---\n",
        "\n---\nundo: always\n---\n",
        "--- # of the plan\nundo: always\n---\n",
        "---\n  title: A\n  undo: always\n---\n",
        "---\nkeywords:\n" + "  - word\n" * 300 + "undo: always\n---\n",
    ],
)
def test_a_key_of_a_plan_is_read_where_other_programs_read_it(text: str) -> None:
    draft = load_text(text + STEP)
    assert (draft.undo, len(draft.tasks)) == ("always", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\nundo:always\n---\n", "line 2: there is no blank after 'undo:'"),
        ("\n---\ntitle: A\ntags:[a]\n---\n", "line 4: there is no blank after 'tags:'"),
        ("---\nundo: always\n\n", "line 4: this is no YAML"),
        ("---\nundo: always\n\n# Deploy\n\nRun `make`\n", "line 1: it has no end"),
        ("---\ntitle: A\ntitle: B\n---\n", "line 3: the key 'title' occurs twice"),
        ("\n\n---\nundo: always\nundo: never\n---\n", "line 5: the key 'undo' occurs twice"),
    ],
)
def test_a_key_of_a_plan_that_cannot_be_read_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidPlan) as fault:
        load_text(text if "Run" in text else text + STEP)
    assert f"plan, front matter: {said}" in str(fault.value)


def test_steps_between_two_rules_are_no_front_matter() -> None:
    draft = load_text("---\nSummary: deploy\n\n1. Run `make`\n\n---\n\n2. Run `make test`\n")
    assert [task.description for task in draft.tasks] == ["Run `make`", "Run `make test`"]


@pytest.mark.parametrize(
    ("written", "title"),
    [
        (">\n  Nightly\n  backup", "Nightly backup"),
        ("Nightly # of ops", "Nightly"),
        ("'the \"shop\"''s'", 'the "shop"\'s'),
        ("2026-12-01", "2026-12-01"),
        ("{{ page.title }}", "{{ page.title }}"),
    ],
)
def test_a_title_is_read_as_yaml(written: str, title: str) -> None:
    assert load_text(with_front(f"title: {written}")).title == title


def test_a_key_in_quotes_is_the_same_key() -> None:
    assert load_text(with_front("\"undo\": 'always'")).undo == "always"


def test_text_of_front_matter_in_the_middle_of_a_document_is_text() -> None:
    assert load_text(f"{STEP}\n---\nunod: always\n---\n").undo is None
