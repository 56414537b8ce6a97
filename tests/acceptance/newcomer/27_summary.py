"""A summary over sources of which one fails."""

import asyncio

import planfold
from planfold import Permanent, PlanDraft, TaskDraft


@planfold.tool(effect="safe")
def price(shop: str) -> dict[str, float]:
    """Ask a shop for its price."""
    if shop == "b":
        raise Permanent("closed")
    return {"total": 10.0 if shop == "a" else 12.0}


@planfold.tool(effect="safe")
def cheapest(prices: list[float]) -> float:
    """Find the lowest price."""
    return min(p for p in prices if p > 0)


SHOPS = ["a", "b", "c"]
DRAFT = PlanDraft(
    tasks=[
        *(
            TaskDraft(
                label=s,
                description=f"Ask {s}",
                tool="price",
                arguments={"shop": s},
                on_failure="continue",
            )
            for s in SHOPS
        ),
        TaskDraft(
            label="best",
            description="Find the best",
            tool="cheapest",
            arguments={"prices": [f"${s}.total ?? -1" for s in SHOPS]},
        ),
        TaskDraft(
            label="tell",
            description="Say it",
            tool="shell",
            arguments={"argv": ["echo", "$best", "b: $b:status"]},
            when="$best < 11.0",
        ),
    ]
)


async def main() -> None:
    async with planfold.open_app("sqlite:///:memory:", tools=[price, cheapest]) as app:
        plan = await app.run(await app.submit(DRAFT, approved_by="me"))
        assert plan.status == "completed"
        assert plan.task("tell").result["stdout"] == "10.0 b: failed"


asyncio.run(main())
