"""Maps as each command shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import called, shown

import planfold
from planfold.cli.report import plan_lines
from planfold.cli.situation import situation_of
from planfold.testing import ManualClock

OF_MAP = 'for_each="$parcels" on_item_failure=continue item_label="$item.to"'
PLAN = f"""# Post

1. @parcels {{}} {{#parcels}}
2. Run `test $item.weight -lt 5` {{#post effect=safe {OF_MAP}}}
3. Run `echo $post:error` {{#tell effect=safe}}
"""
TOOLS = '''import planfold


@planfold.tool(effect="safe")
async def parcels() -> list[dict[str, object]]:
    """Parcels to send."""
    return [{"to": "Ada", "weight": 1}, {"to": "Bob", "weight": 9}, {"to": "Cy", "weight": 2}]
'''


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> str:
    Path("parcel_tools.py").write_text(TOOLS)
    Path("plan.md").write_text(PLAN)
    monkeypatch.syspath_prepend(".")
    called("run", "--yes", "--tools", "parcel_tools", "plan.md")
    found: str = shown()["id"]
    return found


def test_views_say_how_far_a_map_is_and_which_items_failed(plan: str) -> None:
    printed = called("plan", "--tools", "parcel_tools", "plan.md")
    assert (
        "runs for each of $parcels (at most 1,000, 100 at once, the others run if one fails)"
        in (" ".join(printed.split()))
    )
    printed = called("show")
    assert "✗ 2[1] Bob: Run `test 9 -lt 5`" in printed
    assert "2[0]" not in printed, "those that completed say least"
    view = shown()
    assert [item["status"] for item in view["tasks"][1]["items"]] == [
        *("completed", "failed", "completed")
    ]
    assert view["tasks"][1]["for_each"] == "$1"
    assert "1 of 3 items did not complete: 2[1]: " in view["tasks"][2]["result"]["stdout"]
    assert view["summary"]["failed"] == [20_000_000_001]
    assert json.loads(called("show", "--task", "2[1]", "--json"))["label"] == "Bob"


def test_other_commands_name_items_as_people_write_them(plan: str) -> None:
    assert f"planfold retry {plan} '2[1]'" in called("show"), "also of a plan that completed"
    log = called("log")
    assert "expanded 2 post: 3 items to run" in log
    assert "queued 2[2]" in log
    assert "task 2[1] failed: exit code 1" in called("why", plan, "post[1]")
    assert "(for each of $parcels" in called("graph")
    assert "2[" not in called("graph", "--dot", "-")
    assert "<svg" in called("graph", "--svg", "-")
    assert "as recorded" in called("replay")
    assert "Task 2[1] is planned again" in called("retry", plan, "2[1]")
    assert "task 2[1] waits for" in called("why", plan)


def test_the_text_of_an_element_names_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """The label of an item may be that of another task, or what another item is called."""
    Path("label_tools.py").write_text(
        "import planfold\n\n"
        '@planfold.tool(effect="safe")\n'
        "async def parcels() -> list[str]:\n"
        '    """L"""\n'
        '    return ["go", "same", "same", "post[0]", "2[0]", "-h"]\n\n'
        '@planfold.tool(effect="safe")\n'
        "async def send(to: str, context: planfold.TaskContext) -> str:\n"
        '    """S"""\n'
        '    return await context.ask("may", f"Send to {to}?")\n'
    )
    Path("plan.md").write_text(
        "# Post\n\n1. @parcels {} {#parcels}\n"
        '2. @send {"to": "$item"} {#post for_each="$parcels" item_label="$item"}\n'
        "3. Go? {#go}\n"
    )
    monkeypatch.syspath_prepend(".")
    printed = called("run", "--yes", "--tools", "label_tools", "plan.md", code=3)
    found = shown()["id"]
    said = [line.strip() for line in printed.splitlines() if "planfold answer" in line]
    assert said == [f"planfold answer {found} '2[{i}]' TEXT" for i in range(6)]
    called("answer", found, "post[0]", "first")
    called("answer", found, "2[2]", "third")
    asking = [q["task_id"] - 20_000_000_000 for q in shown()["questions"]]
    assert asking == [1, 3, 4, 5]
    assert "task 3 has no open question" in called("answer", found, "go", "yes", code=2)
    assert "has no task 'same'" in called("answer", found, "same", "yes", code=2)


async def test_the_wait_for_an_answer_is_no_run_time_of_a_map() -> None:
    clock = ManualClock()
    text = '1. Run `echo $item` {#say effect=safe for_each="[1, 2]" max_items=1}'
    async with planfold.open_app("sqlite:///:memory:", clock=clock) as app:
        plan_id = await app.submit(text, approved_by="ada")
        assert (await app.run(plan_id)).status == "awaiting_answer"
        clock.advance(600.0)
        await app.answer(plan_id, "say", "go on", by="ada")
        assert (await app.run(plan_id)).status == "completed"
        lines = plan_lines(await situation_of(app, plan_id), 100)
    texts = ["".join(str(span[0]) for span in line) for line in lines]
    [of_map] = [text for text in texts if "1 say: " in text]
    assert of_map.endswith(" 0.0 s")
