"""What tells, calms, closes or belongs to the step above it is no task of its own."""

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
