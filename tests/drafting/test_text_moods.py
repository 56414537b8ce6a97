"""What orders, what states and what only names: of sentences, bullets, headings and boxes."""

# ruff: noqa: E501 (texts are as long as they are)
from __future__ import annotations

from textwrap import dedent

import pytest
from short_plans import short

from planfold.drafting.text.drafter import parse_text
from planfold.drafting.text.mood import Mood, mood


def plan(text: str) -> list[str]:
    return short(parse_text(dedent(text)))


# --- sentences -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "Update the site.",
        "Undraft the release.",  # no verb that is known: its object follows
        "Rebase \0\0\0\0 onto main.",
        "Fork and clone the repo.",
        "⚠️ IMPORTANT: Check for open issues.",
        "Please check the mail.",
        "Carefully review the result.",
        "Ensure CI is green.",
        "If the build fails, write a mail.",
        "Before a release, update the list.",
        "At the start of a cycle create a branch.",
        "For patches run \0\0\0\0 first.",
        "You will need to rename it.",
        "For minor versions you need to pick the commits.",
        "It's recommended that you read it again.",
        "Once it is green, you can merge it.",
    ],
)
def test_an_order_begins_with_a_verb_in_its_base_form(said: str) -> None:
    assert mood(said) is Mood.ORDER


@pytest.mark.parametrize(
    "said",
    [
        "Updates the site by force.",
        "Opens a new pull request.",
        "Pushing the tag will trigger the build.",
        "Wheels built here are specific to a platform.",
        "Bundler installs the gems.",
        "This workflow builds the site.",
        "Currently this job uses a token.",
        "When you have passed, you will be added.",
        "Do not use it in production.",
        "Note that branches are protected.",
        "\0\0\0\0 set to true - this prevents an upgrade.",
        "At this point, you should be able to see the page.",
        "You must have write access.",
    ],
)
def test_a_statement_orders_nothing(said: str) -> None:
    assert mood(said) is Mood.STATEMENT


@pytest.mark.parametrize(
    "said", ["Social media", "The last change", "Time required: an hour", "See \0\0\0 for more."]
)
def test_a_phrase_does_neither(said: str) -> None:
    assert mood(said) is Mood.PHRASE


# --- paragraphs, and text above lists and blocks -------------------------------------------------


def test_a_paragraph_that_orders_counts_in_every_section() -> None:
    text = """
    # T

    Buy a broom in time.

    ## Prepare

    Check the calendar. It may be full.

    ## Authors

    Update the list of authors.

    ## Steps

    1. Sweep
    """
    assert plan(text) == [
        "work Check the calendar. It may be full",
        "work Update the list of authors",
        "work Sweep",
    ]


def test_what_something_else_does_is_a_note_also_with_numbers() -> None:
    text = (
        "# T\n\n1. Begin\n\n## S\n\nThe script will go through these steps:\n\n1. Make a branch\n"
    )
    assert plan(text) == ["work Begin"]


def test_a_statement_above_orders_introduces_them() -> None:
    text = "# T\n\nHere is what we do every day:\n\n- Open the shop\n- Sweep the floor\n"
    assert plan(text) == [
        "work Here is what we do every day: Open the shop",
        "work Here is what we do every day: Sweep the floor",
    ]


def test_bullets_say_more_about_the_order_above_them() -> None:
    text = "# T\n\n## S\n\nFirst check the lamp.\n\n- `red`: it is broken\n- `green`: it works\n"
    assert plan(text) == ["work First check the lamp.\n- `red`: it is broken\n- `green`: it works"]


def test_half_a_sentence_stays_in_front_of_the_items_that_complete_it() -> None:
    text = "# T\n\nEdit the file to\n\n1. Set the name\n2. Set the port\n"
    assert plan(text) == [
        "work Edit the file to: Set the name",
        "work Edit the file to: Set the port",
    ]


@pytest.mark.parametrize(
    ("lead", "runs"),
    [
        ("Push the branch:", True),
        ("The first pushes, the second tells:", False),
        ("A release is two commands.", False),
        ("Minor releases are pushed at once.", False),
        ("Push it from `web1`:", False),
    ],
)
def test_a_block_runs_only_under_a_lead_that_orders(lead: str, runs: bool) -> None:
    (line, *_) = plan(f"# T\n\n1. Begin\n\n## S\n\n{lead}\n\n```sh\ngit push\n```\n")[1:]
    assert line.startswith("run " if runs else "work ")


def test_below_a_text_that_orders_nothing_no_bullet_runs() -> None:
    assert plan("# T\n\n1. Begin\n\nPass criteria:\n\n- `frob.ok == true`\n")[1] == (
        "work Pass criteria: `frob.ok == true`"
    )
    assert plan("# T\n\n1. Begin\n\nClean up:\n\n- `make clean`\n")[1] == "run make clean"


@pytest.mark.parametrize("heading", ["4. Or run it as a server", "Step 2: If it is new"])
def test_a_numbered_heading_with_a_condition_keeps_it(heading: str) -> None:
    text = f"# T\n\n1. Begin\n\n## {heading}\n\n```sh\nmake serve\n```\n"
    assert plan(text)[1].startswith("work ")


def test_a_file_is_no_command() -> None:
    text = "# T\n\n1. Begin\n\nShip these:\n\n- `share/frob.bash`\n- `./frob.sh`\n"
    assert [line[:4] for line in plan(text)[1:]] == ["work", "run "]


def test_an_end_of_a_sentence_behind_a_block_belongs_to_it() -> None:
    text = "# T\n\nPush it:\n\n```sh\ngit push up main\n```\n\nwhere `up` is the main copy.\n"
    assert plan(text) == ["work Push it:\ngit push up main\nwhere `up` is the main copy."]


def test_a_result_that_is_only_kept_in_a_variable_is_work() -> None:
    text = "- `id=$(frob list | head -1)`\n- `frob wait $id`\n"
    assert plan(text) == [
        "work `id=$(frob list | head -1)`",
        "run frob wait $id with id=$3",
        "ask Which value replaces `$id`?",
    ]


# --- items with items ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        "Find the number\n   - The tool will print it\n   - Example: 26.1\n",
        "Look over the page. Things to watch out for:\n   - News come first\n   - Links are whole\n",
        "Call the people who have the keys to it\n   - Ann Lee\n   - Bob\n",
        "Look for errors such as:\n   - No disk\n   - No net\n",
        "Say what to repair. Typically this:\n   - Bad disk: Change it.\n   - No net: Wait.\n",
    ],
)
def test_bullets_that_explain_a_step_are_in_its_description(step: str) -> None:
    first, second = plan(f"1. {step}2. Rest\n")
    assert first.count("\n- ") == 2
    assert second == "work Rest"


def test_items_keep_the_text_right_above_them() -> None:
    text = """
    1. Wait for the robot.

       If you cannot wait, follow these steps:

       - Get the sum
       - Set the sum
    2. Rest
    """
    assert plan(text)[1:3] == [
        "work If you cannot wait, follow these steps: Get the sum",
        "work If you cannot wait, follow these steps: Set the sum",
    ]


def test_states_below_a_demand_are_tasks() -> None:
    text = "# T\n\nMake sure that all this is done:\n\n- The post is written.\n- Commit it.\n"
    assert len(plan(text)) == 2


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("- Step 1: Fork\n- Step 2: Build", [[], [1]]),
        ("- [ ] Get the release approved\n- [ ] Merge it", [[], [1]]),
        ("The procedure is like this:\n\n- Add a node\n- Remove the old node", [[], [1]]),
    ],
)
def test_bullets_that_are_surely_steps_run_in_order(text: str, waits: list[list[int]]) -> None:
    assert [task.depends_on for task in parse_text(text).tasks] == waits


@pytest.mark.parametrize(
    "beside",
    [
        "- A machine with two disks\n- An account of your own",
        "It builds on the best, and it gives you this and that.\n\n- Speed\n- Rest of mind",
        "## Requirements\n\n- Two disks\n- A net",
        "Useful options:\n\n- `--quick` for a short run\n- `--json`",
        "The workflow then:\n\n- runs the tests\n- builds the site",
        "## Links\n\n- [Ann](https://a.b/a)\n- [Bob](https://a.b/b)",
        "- [How to](https://a.b/#x)\n  - [Step 1](https://a.b/#y)\n- [More](https://a.b/#z)",
        "{% raw %}\n\n{% endraw %}",
        '{{< hint style="info" >}}\nYou need to know that.\n{{< /hint >}}',
        "```{important}\nUse your best judgement.\n```",
    ],
)
def test_things_links_and_boxes_are_notes(beside: str) -> None:
    draft = parse_text(f"# T\n\n1. Begin\n\n## S\n\n{beside}\n\n## E\n\n1. End\n")
    assert short(draft) == ["work Begin", "work End"]


def test_a_tag_does_not_part_a_text_from_its_code() -> None:
    text = (
        "# T\n\n1. Begin\n\nAdd this to the page:\n\n{% raw %}\n```html\n<a>\n```\n{% endraw %}\n"
    )
    assert plan(text)[1] == "work Add this to the page:\n<a>"


def test_a_box_that_warns_belongs_to_the_step_beside_it() -> None:
    text = (
        "# T\n\nRestart it:\n\n```sh\nmake restart\n```\n\n"
        '{{< hint style="danger" >}}\nIt is slow.\n{{< /hint >}}\n'
    )
    assert plan(text)[0].startswith("run make restart")
    assert "It is slow." in parse_text(text).tasks[0].description


# --- headings ------------------------------------------------------------------------------------


def test_headings_with_the_same_beginning_are_cases() -> None:
    text = "# T\n\n1. x\n\n## Steps for Ann\n\n1. `make a`\n\n## Steps for Bob\n\n1. `make b`\n"
    draft = parse_text(text)
    assert short(draft) == [
        "work x",
        "work Steps for Ann: `make a`",
        "work Steps for Bob: `make b`",
    ]
    assert [task.depends_on for task in draft.tasks] == [[], [1], [1]]
    text = "# T\n\n## Check for leaks\n\n1. `make a`\n\n## Check for noise\n\n1. `make b`\n"
    assert plan(text) == ["run make a", "run make b"]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Announce your plans to the team", "work Announce your plans to the team\nTell them."),
        ("Is it green? If not, mend it. (It may be.)", "work Is it green? If not, mend it. (It may be.)\nTell them."),
        ("publish binaries", "work Tell them"),
        ("When are you added?", "work When are you added?: Tell them"),
    ],
)  # fmt: skip
def test_a_heading_that_orders_is_one_task_with_its_prose(heading: str, expected: str) -> None:
    text = f"# T\n\n1. Begin\n\n## {heading}\n\nTell them.\n"
    assert plan(text) == ["work Begin", expected]


def test_in_a_text_about_trouble_nothing_runs() -> None:
    text = "# Troubleshooting\n\nCheck the port:\n\n```sh\nfrob scan\n```\n"
    assert plan(text) == ["work Check the port:\nfrob scan"]


def test_a_date_with_letters_is_one_placeholder() -> None:
    assert plan("1. `git tag vYYYY.M.X`\n")[1] == "ask Which value replaces `YYYY.M.X`?"
