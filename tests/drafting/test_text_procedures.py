"""Procedures as people write them: what comes after what, what is said twice, what is a case."""

from __future__ import annotations

from textwrap import dedent

import pytest
from short_plans import short

from planfold.drafting.text.drafter import parse_text


def plan(text: str) -> list[str]:
    return short(parse_text(dedent(text)))


def waits(text: str) -> list[list[int | str]]:
    return [task.depends_on for task in parse_text(dedent(text)).tasks]


# --- what is said twice --------------------------------------------------------------------------

STEPS = """
# Make a cake

## Mix

Mix the flour and the butter with `frob mix`.

## Bake

Bake the dough for an hour in the oven.

## Decorate

Put sugar and cherries on the cake.

## Serve

Call the guests to the table.
"""


@pytest.mark.parametrize("heading", ["Summary", "All at a glance", "Checklist"])
def test_what_sums_up_the_steps_is_not_done_again(heading: str) -> None:
    text = f"""{STEPS}
## {heading}

- [ ] Mix flour and butter: `frob mix`
- [ ] Bake the dough (an hour)
- [ ] Put sugar on the cake
- [ ] Call the guests
"""
    draft = parse_text(text)
    assert len(draft.tasks) == 4
    assert f"{heading}\n- [ ] Mix flour and butter: `frob mix`" in "\n".join(draft.notes)


def test_what_repeats_one_section_is_another_part() -> None:
    steps = "- Build the image\n- Test the image\n- Push the image\n- Announce the image\n"
    text = f"# T\n\n## Make the server\n\n{steps}\n## Make the client\n\n{steps}"
    assert len(plan(text)) == 8


def test_new_steps_with_known_words_stay() -> None:
    text = f"{STEPS}\n## Clean up\n\n- Wash the oven\n- Empty the table\n- Sweep\n- Rest an hour\n"
    assert len(plan(text)) == 8


def test_double_brackets_are_a_placeholder() -> None:
    assert plan("1. Run `frob tag [[release tag]]`\n2. Run `[[ -f x ]]`\n") == [
        "run frob tag '$3'",
        "run [[ -f x ]]",
        "ask Which value replaces `[[release tag]]`?",
    ]


# --- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] Read `a.md`\n- [ ] Write the summary\n- [ ] Rest", [[], [1], [2]]),
        ("- Write this:\n\n      a = 1\n\n- Read it again", [[], [1]]),
        ("To release it:\n\n- Build it\n- Wait for the tests", [[], [1]]),
        ("# Deploy\n\n1. Look\n   - Wait for the job\n   - Check the pages", [[], [1]]),
        ("- Build it\n- Test it", [[], []]),
        ("Tell them:\n\n- [Ann](https://a.b)\n- `#general`", [[], []]),
    ],
)
def test_lists_of_steps_run_in_order(text: str, expected: list[list[int]]) -> None:
    assert waits(text) == expected
