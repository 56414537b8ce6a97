"""What states, calms, closes or belongs to the step above it is not a task of its own."""

from __future__ import annotations

from textwrap import dedent

import pytest
from short_plans import short

from planfold.drafting.text.drafter import parse_text
from planfold.drafting.text.mood import Mood, mood


def plan(text: str) -> list[str]:
    return short(parse_text(dedent(text)))


def descriptions(text: str) -> list[str]:
    return [task.description for task in parse_text(dedent(text)).tasks]


@pytest.mark.parametrize(
    "said",
    [
        "Congratulations, it is out!",
        "Come say hi in the forum.",
        "Keep building sites!",
        "Feel free to ping a maintainer.",
        "If it is closed and matters, feel free to ping a maintainer.",
        "To send logs, consider using the agent.",
        "Here are the things you must do today:",
        "You must also be reachable by phone.",
        "Release candidate one (rc1) ships nine days later.",
        "Automated systems of the vendor then handle the channel.",
    ],
)
def test_closing_words_permissions_and_what_others_do_are_statements(said: str) -> None:
    assert mood(said) is Mood.STATEMENT


@pytest.mark.parametrize(
    "said",
    [
        "If your hours do not fit a 9.30am-5.30pm shift, let the team know.",
        "Before an away day, a fair or any event that takes long: try to swap your shift.",
        "You can now inspect the result.",
        "Keep watching the error rate.",
        "Consider updating the other package.",
    ],
)
def test_orders_behind_a_long_introduction_stay_orders(said: str) -> None:
    assert mood(said) is Mood.ORDER


def test_reassurances_and_principles_among_duties_are_notes() -> None:
    text = """\
    # Duties

    - Attend the handover
    - Don't worry if you miss a call - another person is there
    - Logs are not as important as being available
    - Prepare the shift
    """
    assert descriptions(text) == ["Attend the handover", "Prepare the shift"]


def test_a_bullet_without_a_box_among_boxes_may_only_tell() -> None:
    text = """\
    # Upgrade

    - [ ] Tf apply upgrades the pool
      - the upgrade will be performed one node at a time
      - [ ] Watch the nodes
    """
    assert descriptions(text) == ["Tf apply upgrades the pool", "Watch the nodes"]


def test_a_conditional_lead_that_ends_in_it_keeps_its_list() -> None:
    text = """\
    # Mitigation

    - Restart the pod

    If the pod runs but the monitor cannot reach it:

    1. Check the port
    2. Check the policies
    """
    assert len(descriptions(text)) == 3


def test_a_case_that_ends_in_a_skip_is_one_task() -> None:
    text = """\
    # Release

    - If there are large changes
      - Increment the major part
      - Skip to the next step
    - For all else, increment the patch part
    """
    assert len(descriptions(text)) == 2


def test_sections_of_reasons_are_notes() -> None:
    text = """\
    # Upgrade

    1. Upgrade the pool

    ## Reasons behind the steps

    - Watching from the console - we restrict access.
    - Note that it may abort. Then run it again.

    ## Congratulations! You are done

    Go and rest.
    """
    assert descriptions(text) == ["Upgrade the pool"]


def test_asking_a_named_person_to_do_something_is_work() -> None:
    kinds = [
        task.kind.name
        for task in parse_text("1. Ask @ann to update it\n2. Ask Ann").tasks
        if task.kind
    ]
    assert kinds == ["Processing", "Clarification"]


def test_a_warning_and_an_alternative_that_is_discouraged_are_notes() -> None:
    text = """\
    # Restore

    1. Restore the data

    **Do not use previews in production**. They are unfinished. Use them for tests only.

    Alternatively, you can pass `--force`. Note that this is strongly discouraged. Make a copy.

    Congratulations! It is done. Go and rest.

    ```{important}
    Errors may follow.
    ```
    """
    assert len(descriptions(text)) == 1


def test_an_example_of_what_is_only_described_is_a_note() -> None:
    text = """\
    # Deploy

    1. Begin

    These steps assume that `up` is the remote:

    ```sh
    $ git remote -v
    ```

    To do this you can use environments. You can set one with a variable. For example:

    ```sh
    ENV=production make
    ```
    """
    assert len(descriptions(text)) == 1


def test_what_a_value_usually_is_belongs_to_the_step_that_sets_it() -> None:
    text = """\
    # Release

    Set the commit:

    ```sh
    export SHA=1234
    ```

    Usually this is the newest one, i.e.

    ```sh
    export SHA=$(git rev-parse main)
    ```
    """
    (said,) = descriptions(text)
    assert "1234" in said
    assert "rev-parse" in said


def test_commands_that_are_only_watched_belong_to_the_item_above_them() -> None:
    text = """\
    # Upgrade

    - [ ] Watch the following from `web1`:
      - `watch kubectl get nodes`
      - `watch kubectl get pods`
    - [ ] Validate
    """
    assert len(descriptions(text)) == 2


def test_a_choice_of_sections_is_a_question_that_they_wait_for() -> None:
    text = """\
    # Install

    ## Choose your system

    Follow the section for the system you use:

    * [macOS](#macos)
    * [Ubuntu](#ubuntu)

    ### macOS

    1. Open the disk image

    ### Ubuntu

    1. Open the package
    """
    first, mac, ubuntu = parse_text(dedent(text)).tasks
    assert first.choices == ["macOS", "Ubuntu"]
    assert mac.depends_on == ubuntu.depends_on == [1]


def test_ways_with_other_prepositions_do_not_wait_for_each_other() -> None:
    text = """\
    # Recovery plan

    1. Take a snapshot

    ## Restoring from the snapshot

    1. Restore it

    ## Checks

    The file has a hash.

    ## Restoring with other members

    1. Restore them
    """
    assert [task.depends_on for task in parse_text(dedent(text)).tasks] == [[], [1], [1]]


def test_what_is_done_beforehand_makes_bullets_a_sequence() -> None:
    text = "- Test the packages beforehand.\n- Build them for Linux"
    assert [task.depends_on for task in parse_text(text).tasks] == [[], [1]]


def test_a_note_that_orders_a_check_belongs_to_the_step_above_it() -> None:
    text = "# Update\n\n1. Update it\n\n> NOTE: As a validation step check the alerts.\n"
    (said,) = descriptions(text)
    assert "check the alerts" in said


def test_a_tool_for_what_is_below_is_a_task() -> None:
    lead = "For speed, you may use `tune` to write a file."
    text = f"# Set up\n\n1. Begin\n\n{lead}\n\n* Select the version\n* Enter the size\n"
    assert "tune" in descriptions(text)[1]


def test_addresses_of_links_that_are_called_here_stay_in_the_text() -> None:
    text = "1. Check this [here](https://example.com/a) and [there](https://example.com/b)"
    assert descriptions(text) == ["Check this here (https://example.com/a) and there"]


@pytest.mark.parametrize(
    ("said", "runs"),
    [
        ("Run `cargo package` and ensure it succeeds.", True),
        ("Run `cargo package` and check that it passes", True),
        ("Run `cargo package` and ensure the list is right.", False),
        ("Run `cargo package` and ensure it succeeds on Windows.", False),
        ("If asked, run `cargo package` and ensure it succeeds.", False),
    ],
)
def test_the_exit_code_says_whether_a_command_succeeds(said: str, runs: bool) -> None:
    (task,) = parse_text(f"1. {said}").tasks
    assert (task.tool == "shell") is runs


@pytest.mark.parametrize(
    "said",
    [
        "Put two pots on the stove.",
        "Find at least two properties that suit you.",
        "Consider using a mild soap.",
        "Congratulate the winners.",
    ],
)
def test_numbers_and_advice_do_not_make_an_order_a_statement(said: str) -> None:
    assert mood(said) is Mood.ORDER


def test_an_option_of_the_command_above_is_no_later_step() -> None:
    text = """\
    # Release

    Create the draft:

    ```sh
    brew release
    ```

    Include `--major` when required. Review the draft.
    """
    first, second = parse_text(dedent(text)).tasks
    assert first.tool is None  # a condition: a person decides
    assert "--major" in first.description
    assert second.description == "Review the draft"


def test_moves_of_the_same_to_other_places_are_cases() -> None:
    text = """\
    # Disk full

    1. Look around

    ## Migrate data to a larger pool in the same cluster

    1. Add nodes

    ## Migrate data to a larger cluster

    1. Add a cluster

    ## Fixing the index

    1. Rebuild it
    """
    tasks = parse_text(dedent(text)).tasks
    assert [task.depends_on for task in tasks] == [[], [1], [1], [2, 3]]
    assert tasks[2].description == "Migrate data to a larger cluster: Add a cluster"
    assert tasks[3].description == "Fixing the index: Rebuild it"
