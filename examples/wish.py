"""A wish becomes a plan, and the plan is worked off, by a model that speaks from a script.

With a real model only the names change: ``model="openai:..."`` and no ``models=``.
"""

import asyncio
import json

import planfold
from planfold import Budget, PlannerConfig
from planfold.testing import Answer, ScriptedModel, ToolRequest

PLAN = {
    "tasks": [
        {
            "label": "greeting",
            "kind": "tool_call",
            "description": "Look up how they greet",
            "tool": "look_up",
            "arguments": {"word": "hello"},
        },
        {
            "label": "letter",
            "kind": "processing",
            "description": "Write the letter",
            "depends_on": ["greeting"],
        },
    ]
}
WORDS = {"hello": "ahoy", "goodbye": "fair winds"}


@planfold.tool(effect="safe")
def look_up(word: str) -> str:
    """How sailors say a word."""
    return WORDS[word]


async def main() -> None:
    script = ScriptedModel(
        [
            json.dumps(PLAN),  # it plans
            Answer(calls=(ToolRequest("1", "look_up", {"word": "goodbye"}),)),  # it needs a tool
            "Ahoy! All is well. Fair winds!",  # it is done
        ]
    )
    async with planfold.open_app(
        "sqlite:///:memory:", tools=[look_up], models=lambda name: script
    ) as app:
        config = PlannerConfig(model="scripted", budget=Budget(calls=10))
        plan_id = await app.wish("Write a letter to a sailor", approved_by="me", config=config)
        plan = await app.run(plan_id)
        while plan.questions:  # what a model proposes is asked about, unless a rule allows it
            question = plan.questions[0]
            print("asked:", question.question.splitlines()[0])
            await app.answer(plan_id, question.task_id, "allow once")
            plan = await app.run(plan_id)
        for task in plan.tasks:
            print(f"{task.status}: {task.description}")
        print(plan.task("letter").result)
        print(f"{plan.spent.calls} calls of the model and its tools")


asyncio.run(main())
