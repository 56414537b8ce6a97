"""``python -m evals``: a planner's scores, and that nothing is asked or paid twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evals.command import evals_command
from planfold.cli.main import cli

SYSTEM = {"role": "system", "content": "You are a helpful task planner."}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a folder, and so a database, of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("PLANFOLD_DB", "PLANFOLD_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def write_worfbench(count: int = 3, name: str = "worf.jsonl") -> str:
    """Requests "How to make dish 1" ..., each with the gold plan wash, cook, serve in a row."""
    lines = []
    for number in range(1, count + 1):
        actions = [f"Wash things {number}.", f"Cook things {number}.", f"Serve things {number}."]
        nodes = "\n".join(f"{place}: {action}" for place, action in enumerate(actions, 1))
        user = f"Task: How to make dish {number}.\nThe action list you can take: {actions!r}"
        gold = f"Node:\n{nodes}\nEdges: (START,1) (1,2) (2,3) (3,END)"
        turns = [
            SYSTEM,
            {"role": "user", "content": user},
            {"role": "assistant", "content": gold},
        ]
        item = {"source": "wikihow", "id": f"wikihow_{number}", "conversations": turns}
        lines.append(json.dumps(item))
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def planned(number: int, *, chain: bool = True, wrong: bool = False) -> dict[str, Any]:
    """The gold plan as a model would write it, or with a dependency that does not exist."""
    tasks: list[dict[str, Any]] = []
    before: list[str] = ["nowhere"] if wrong else []
    for word in ("wash", "cook", "serve"):
        text = f"{word} things {number}"
        task = {"label": word, "description": text, "kind": "processing", "depends_on": before}
        tasks.append(task)
        before = [word] if chain else []
    return {"tasks": tasks}


def write_script(replies: dict[int, list[Any]], name: str = "script.json") -> str:
    """What the model says to each dish, turn by turn."""
    script = [
        {
            "when": f"dish {number}.",
            "replies": [
                {"json": said, "usage": {"input_tokens": 100, "output_tokens": 20, "cost": 0.25}}
                for said in turns
            ],
        }
        for number, turns in replies.items()
    ]
    Path(name).write_text(json.dumps(script))
    return f"scripted:{name}"


def call(*words: str) -> Result:
    return CliRunner().invoke(evals_command, list(words), prog_name="python -m evals")


def called(*words: str, code: int = 0) -> str:
    """What the command printed; it must end with ``code``."""
    result = call(*words)
    assert result.exit_code == code, (result.exit_code, result.output)
    return result.output


def scores(*words: str, code: int = 0) -> dict[str, Any]:
    """The JSON report of ``python -m evals``."""
    called(*words, "--json", "scores.json", code=code)
    found: dict[str, Any] = json.loads(Path("scores.json").read_text())
    return found


def test_the_text_drafter_is_scored_without_a_model() -> None:
    printed = called(write_worfbench(), "--model", "text")
    assert "text on worfbench, 3 examples" in printed
    assert "node F1" in printed
    assert "calls a plan" not in printed


def test_a_model_is_scored_before_and_after_repair_and_by_its_price() -> None:
    model = write_script(
        {
            1: [planned(1)],
            2: [planned(2, wrong=True), planned(2)],
            3: [planned(3, wrong=True)] * 4,
        }
    )
    found = scores(write_worfbench(), "--model", model)
    by_id = {example["id"]: example for example in found["examples"]}
    assert by_id["wikihow_1"]["score"]["edge_f1"] == 1.0
    assert by_id["wikihow_2"]["rounds"] == 1
    assert by_id["wikihow_2"]["score"]["node_f1"] == 1.0
    assert "score" not in by_id["wikihow_3"]
    assert "nowhere" in by_id["wikihow_3"]["faults"][0]
    summary = found["summary"]
    assert summary["valid_before"] == pytest.approx(1 / 3)
    assert summary["valid_after"] == summary["node_f1"] == pytest.approx(2 / 3)
    assert summary["calls"] == pytest.approx(7 / 3)
    assert summary["tokens"] == 280
    assert found["spent"] == {"tokens": 840, "cost": 1.75, "calls": 7, **seconds(found)}


def seconds(found: dict[str, Any]) -> dict[str, float]:
    return {"seconds": found["spent"]["seconds"]}


def test_the_same_command_continues_and_pays_for_nothing_twice() -> None:
    data = write_worfbench()
    model = write_script({1: [planned(1)], 3: [planned(3)]})
    first = scores(data, "--model", model, code=1)
    assert list(first["unanswered"]) == ["wikihow_2"]
    assert "no conversation is meant" in first["unanswered"]["wikihow_2"]
    assert [example["id"] for example in first["examples"]] == ["wikihow_1", "wikihow_3"]
    write_script({2: [planned(2, chain=False)]})  # a second request would not be answered
    second = scores(data, "--model", model)
    assert second["plan"] == first["plan"]
    assert second["unanswered"] == {}
    assert second["spent"]["tokens"] == 360
    Path("script.json").unlink()
    Path("script.json").write_text("[]")
    assert scores(data, "--model", model) == second


def test_fresh_asks_again_and_later_the_latest_continues() -> None:
    data, model = write_worfbench(1), write_script({1: [planned(1)]})
    first = scores(data, "--model", model, "--fresh")
    write_script({1: [planned(1, chain=False)]})
    assert scores(data, "--model", model) == first
    second = scores(data, "--model", model, "--fresh")
    assert second["plan"] == first["plan"] + "-2"
    assert (first["summary"]["edge_f1"], second["summary"]["edge_f1"]) == (1.0, 0.0)
    assert scores(data, "--model", model) == second


def test_a_seed_draws_the_same_examples() -> None:
    data = write_worfbench(9)
    drawn = [
        [e["id"] for e in scores(data, "--model", "text", "--limit", "4", *more)["examples"]]
        for more in ((), ("--seed", "0"), ("--seed", "1"))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 4


def test_a_budget_that_is_used_up_says_how_to_continue() -> None:
    data, model = write_worfbench(2), write_script({1: [planned(1)], 2: [planned(2)]})
    words = (data, "--model", model, "--budget", "calls=1", "--max-parallel", "1")
    stopped = call(*words)
    assert stopped.exit_code == 3, stopped.output
    assert "without an answer" in stopped.output
    assert "1 calls of 1 calls used" in stopped.output
    plan_id = stopped.output.split("planfold budget ")[1].split()[0]
    added = CliRunner().invoke(cli, ["budget", plan_id, "--add", "calls=5"])
    assert added.exit_code == 0, added.output
    assert "2 examples" in called(*words)


def test_the_database_has_an_address() -> None:
    called(write_worfbench(1), "--model", "text", "--db", "sqlite:///other.db")
    assert Path("other.db").exists()
    assert not Path(".planfold/planfold.db").exists()


def test_several_data_sets_are_scored_in_turn() -> None:
    nestful = [{"input": "add 1", "output": [{"name": "add", "arguments": {"a": 1}}]}]
    Path("small-data.json").write_text(json.dumps(nestful))
    Path("small-spec.json").write_text(
        json.dumps([{"name": "add", "query_parameters": {"a": {"type": "number"}}}])
    )
    found: Any = scores(write_worfbench(2), "small-data.json", "--model", "text")
    assert [(r["dataset"]["kind"], r["summary"]["examples"]) for r in found] == [
        ("worfbench", 2),
        ("nestful", 1),
    ]


def test_a_fault_in_a_later_data_set_is_found_before_anything_is_planned() -> None:
    result = call(write_worfbench(1), "gone.json", "--model", "text")
    assert (result.exit_code, "gone.json: No such file" in result.output) == (2, True)
    assert not Path(".planfold").exists()


def test_json_can_go_to_standard_output() -> None:
    printed = called(write_worfbench(1), "--model", "text", "--json", "-")
    assert json.loads(printed)["dataset"]["kind"] == "worfbench"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty; known are NESTFUL"),
        ("hello", "is not JSON"),
        ("[1]", "item 1: not an object"),
        ('{"question": "?"}', "a data set of an unknown kind; known are NESTFUL"),
        ('[{"name": "add", "parameters": {}}]', "these are tool specs"),
        ('[{"input": "add", "output": []}]', "tool specs should be in"),
        ('{"conversations": [1]}', "example 1: conversations must be a list of role and content"),
        ('{"conversations": []}', "example 1: there must be a turn of user"),
    ],
)
def test_what_is_no_data_set_is_reported(content: str, said: str) -> None:
    Path("data.json").write_text(content)
    result = call("data.json", "--model", "text")
    assert result.exit_code == 2
    assert said in result.output
    assert not Path(".planfold").exists()


def test_a_file_that_is_not_there_is_reported() -> None:
    result = call("gone.json", "--model", "text")
    assert (result.exit_code, "gone.json: No such file" in result.output) == (2, True)


def test_without_a_planner_it_says_so() -> None:
    result = call(write_worfbench(1))
    assert (result.exit_code, "--model text" in result.output) == (2, True)
