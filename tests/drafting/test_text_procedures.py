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


# --- cases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headings",
    [
        ("Main release", "Point release"),
        ("Regular upgrade", "Embargoed upgrade"),
        ("Option A: by hand", "Option B: with a script"),
        ("AWS", "GCP"),
        ("Ubuntu", "macOS"),
    ],
)
def test_sections_for_different_cases_do_not_wait_for_each_other(headings: tuple[str, str]) -> None:
    first, second = headings
    draft = parse_text(f"# T\n\n1. x\n\n## {first}\n\n- Look\n\n## {second}\n\n- Hear\n")
    assert [task.description for task in draft.tasks] == ["x", f"{first}: Look", f"{second}: Hear"]
    assert [task.depends_on for task in draft.tasks] == [[], [1], [1]]


@pytest.mark.parametrize(
    "headings", [("One day before release", "Day of release"), ("Cut release", "Publicize release")]
)
def test_days_and_orders_are_no_cases(headings: tuple[str, str]) -> None:
    first, second = headings
    assert waits(f"# T\n\n1. x\n\n## {first}\n\n- Look\n\n## {second}\n\n- Hear\n") == [
        [],
        [1],
        [2],
    ]


# --- lists that say more -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1. Begin\n\n   Automated steps include:\n\n   - Cut the branch\n   - Pin it\n2. End", 2),
        ("# T\n\n1. Begin\n\nUse it only if:\n\n* You are alone\n* You have an hour", 2),
        ("- Incident confirmed\n  - Systems in danger\n  - Pages slow\n- Severity assigned", 2),
        ("1. Begin\n\nThe rota of the team:\n\n1. [Ann](https://a.b)\n2. [Bob](https://a.c)", 1),
    ],
)
def test_lists_of_what_is_meant_are_no_tasks(text: str, count: int) -> None:
    assert len(plan(text)) == count


# --- steps that are easily lost ------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        "Each day, check the lamps.",
        "Backup & more: Always ensure you have a copy.",
        "The outgoing person should let the next one know.",
        "Before the switch, always ensure that there is a copy.",
    ],
)
def test_duties_are_steps(step: str) -> None:
    assert plan(f"# T\n\n1. Begin\n\n## S\n\n{step}\n")[1:] == [f"work {step.removesuffix('.')}"]


def test_a_numbered_heading_that_orders_is_a_step() -> None:
    text = (
        "# T\n\n## 1. Read\n\nRead it.\n\n## 2. Update the parts\n\nIt has.\n\n### Past\n\nOld.\n"
    )
    assert plan(text)[1:] == ["work Update the parts\nIt has."]
    text = "# T\n\n### 2.1 Ensure the tree is ready\n\n- All is green.\n\n### 2.2 Go\n\nGo on.\n"
    assert plan(text) == ["work Ensure the tree is ready\n- All is green.", "work Go\nGo on."]


def test_what_is_done_after_something_is_a_step() -> None:
    text = "# T\n\n1. Begin\n\nUpon arrival:\n\n* Signal to all at home\n"
    assert plan(text)[1:] == ["work Upon arrival: Signal to all at home"]


# --- text that stays whole -----------------------------------------------------------------------


def test_code_that_is_less_indented_than_its_fence_stays_in_its_item() -> None:
    text = "1. Edit it:\n\n    ```\na:\n  b\n    ```\n\n2. Rest\n"
    assert plan(text) == ["work Edit it:\na:\n  b", "work Rest"]
    text = "- ```\n  a\n  ```\n\n  Text\n\n  ```\n  b\n  ```\n"
    assert [task.description for task in parse_text(text).tasks] == ["a\nText\nb"]


def test_numbers_of_steps_name_the_tasks() -> None:
    text = "# T\n\n## A\n\n- Look\n\n## B\n\n1. Stop\n2. Start\n3. Do steps 1 to 2 for all\n"
    assert plan(text)[-1] == "work Do steps 1 to 2 for all (step 1 is task 2, step 2 is task 3)"
    assert plan("1. Stop\n2. Do step 1 again\n")[-1] == "work Do step 1 again"


def test_a_link_of_a_site_generator_is_a_link() -> None:
    assert (
        plan("- Read [the guide]({% link a/b.md %}#c) now\n- Rest")[0] == "work Read the guide now"
    )
