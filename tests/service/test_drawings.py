"""What the page gets beside the plans: graph, timeline, tasks, revisions, sketches."""

from __future__ import annotations

from typing import Any

from served import Served, until

CHAIN = "# Chain\n\n1. Run `true` {#one}\n2. Run `echo $one.exit_code` {#two}\n3. Who? {#who}"


async def asking(served: Served) -> str:
    plan_id = await served.submit(CHAIN)

    async def asks() -> bool:
        return bool((await served.get(f"/v1/plans/{plan_id}")).json()["questions"])

    await until(asks)
    return plan_id


async def read(served: Served, path: str) -> Any:
    answer = await served.get(path, "read")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_graph_says_where_everything_is(each_served: Served) -> None:
    plan_id = await asking(each_served)
    graph = await read(each_served, f"/v1/plans/{plan_id}/graph")
    assert [(ids, kind) for ids, _, _, _, kind in graph["nodes"]] == [
        ([1], "shell"),
        ([2], "shell"),
        ([3], "question"),
    ]
    places = [(x, y) for _, x, y, _, _ in graph["nodes"]]
    assert places == sorted(places)
    assert [(parent, child) for parent, child, _ in graph["edges"]] == [(0, 1), (1, 2)]
    assert graph["critical"] == [1, 2, 3]
    plan = await read(each_served, f"/v1/plans/{plan_id}")
    assert graph["revision_hash"] == plan["revision_hash"]
    assert graph == await read(each_served, f"/v1/plans/{plan_id}/graph?version=1")


async def test_the_timeline_continues_and_goes_back(each_served: Served) -> None:
    plan_id = await asking(each_served)
    path = f"/v1/plans/{plan_id}/timeline"
    now = await read(each_served, path)
    last = [span for span in now["spans"] if span[0] == 3][-1]
    assert (last[1], last[3], now["ended"]) == ("answer", None, False)
    assert [span[1] for span in now["spans"] if span[0] == 1][-1] == "running"
    past = await read(each_served, f"{path}?version=3")
    assert (past["version"], [span[0] for span in past["spans"]]) == (3, [1])
    await each_served.post(f"/v1/plans/{plan_id}/answer", {"task": "who", "answer": "ada"})
    then = await read(each_served, path)
    assert then["ended"]
    assert all(end is not None for _, _, _, end, *_ in then["spans"])
    fresh = await read(each_served, f"{path}?version={then['version']}")
    assert fresh == then  # what was continued is what is read from the beginning
    assert (await each_served.get(f"{path}?version=99")).status_code == 404


async def test_a_task_in_full(each_served: Served) -> None:
    plan_id = await asking(each_served)
    found = await read(each_served, f"/v1/plans/{plan_id}/tasks/two")
    assert found["arguments"]["argv"] == ["echo", 0]
    assert found["spec"]["tool"]["arguments"]["argv"] == ["echo", "$one.exit_code"]
    assert (found["spec"]["tool"]["name"], found["task"]["result"]["stdout"]) == ("shell", "0")
    assert found == await read(each_served, f"/v1/plans/{plan_id}/tasks/2")
    before = await read(each_served, f"/v1/plans/{plan_id}/tasks/2?version=2")
    assert (before["task"]["status"], before["arguments"]) == ("planned", None)
    assert (await each_served.get(f"/v1/plans/{plan_id}/tasks/nine")).status_code == 404


async def test_a_revision_names_what_it_changes(each_served: Served) -> None:
    answer = await each_served.post("/v1/plans", {"text": CHAIN, "plan_id": "p"})
    assert answer.status_code == 201
    first = await read(each_served, "/v1/plans/p/revision")
    assert (first["approved"], first["changes"], len(first["tasks"])) == (False, None, 3)
    assert first["tasks"][1]["tool"]["arguments"]["argv"] == ["echo", "$one.exit_code"]
    body = {"revision_hash": first["revision_hash"]}
    await each_served.post("/v1/plans/p/approve", body)

    async def asks() -> bool:
        return bool((await each_served.get("/v1/plans/p")).json()["questions"])

    await until(asks)
    more = CHAIN + "\n4. Run `echo $one.stdout` {#four}"
    assert (await each_served.post("/v1/plans/p/revise", {"text": more})).status_code == 200
    second = await read(each_served, "/v1/plans/p/revision")
    assert second["changes"]["same"] == 3
    (added,) = second["changes"]["added"]
    assert (added["label"], added["tool"]["arguments"]["argv"][1]) == ("four", "$one.stdout")


async def test_what_a_revision_may_change_is_a_draft_of_it(each_served: Served) -> None:
    text = CHAIN + "\n4. Run `echo $who` {#tell}"
    plan_id = await each_served.submit(text)

    async def asks() -> bool:
        return bool((await each_served.get(f"/v1/plans/{plan_id}")).json()["questions"])

    await until(asks)
    draft = await read(each_served, f"/v1/plans/{plan_id}/remaining")
    arguments = {"argv": ["echo", "$who"]}
    tell = {"id": 4, "label": "tell", "tool": "shell", "description": "Run `echo $who`"}
    assert draft["tasks"] == [tell | {"arguments": arguments, "depends_on": ["who"]}]
    before = await read(each_served, f"/v1/plans/{plan_id}")
    answer = await each_served.post(f"/v1/plans/{plan_id}/revise", {"draft": draft})
    assert answer.status_code == 200
    after = await read(each_served, f"/v1/plans/{plan_id}")
    assert after["revision_hash"] == before["revision_hash"]  # it is the plan already


async def test_a_sketch_has_the_parameters_also_where_their_values_are_faults(
    served: Served,
) -> None:
    text = "---\nparams:\n  a: {description: a text}\n  n: {type: integer, default: 2}\n---\n"
    body = {"text": text + "1. Run `echo $params.a $params.n`"}
    bad = (await served.post("/v1/plans/sketch", body, "read")).json()
    assert [(fault["field"], fault["message"]) for fault in bad["faults"]] == [
        ("params.a", "is missing; it is a string, without a default")
    ]
    assert bad["params"] == {
        "a": {"type": "string", "description": "a text"},
        "n": {"type": "integer", "default": 2, "description": ""},
    }
    good = (await served.post("/v1/plans/sketch", body | {"params": {"a": "x"}}, "read")).json()
    assert (good["faults"], good["params"]) == ([], bad["params"])
    assert good["tasks"][0]["tool"]["arguments"]["argv"] == ["echo", "x", "2"]


async def test_a_sketch_has_faults_or_a_graph(served: Served) -> None:
    good = await served.post("/v1/plans/sketch", {"text": CHAIN}, "read")
    assert (good.json()["faults"], len(good.json()["graph"]["nodes"])) == ([], 3)
    assert good.json()["tasks"][1]["tool"]["arguments"]["argv"] == ["echo", "$one.exit_code"]
    draft = {"tasks": [{"description": "x", "depends_on": ["nothing"]}]}
    bad = await served.post("/v1/plans/sketch", {"draft": draft}, "read")
    assert (bad.status_code, bad.json()["graph"]) == (200, None)
    assert "nothing" in bad.json()["faults"][0]["message"]
    assert (await served.get("/v1/plans")).json()["plans"] == []


async def test_a_plan_without_results_and_only_new_events(served: Served) -> None:
    plan_id = await asking(served)
    whole = await read(served, f"/v1/plans/{plan_id}")
    brief = await read(served, f"/v1/plans/{plan_id}?results=false")
    assert whole["tasks"][0]["result"] is not None
    assert [task["result"] for task in brief["tasks"]] == [None, None, None]
    url = "/v1/events?new=true"
    async with served.http.stream("GET", url, headers=served.headers("read")) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        await served.post(f"/v1/plans/{plan_id}/answer", {"task": "who", "answer": "ada"})
        found = [line async for line in _until(lines, "data: ")]
    assert '"ClarificationReceived"' in found[-1]


async def _until(lines: Any, beginning: str) -> Any:
    async for line in lines:
        yield line
        if line.startswith(beginning):
            return
