"""Tools of one's own, and a plan that calls them: ``python own_tools.py``.

Other plans call them with ``--tools own_tools``: ``planfold tools price --tools own_tools``.

``charge`` shows how to declare a side effect: it is ``keyed``, so planfold may run it again
after a crash, and every attempt passes the same key to the payment service. ``ship`` keeps
inner steps: what ``once`` has recorded is not done again by a later attempt.
"""

import asyncio

import planfold
from planfold import PlanDraft, TaskContext, TaskDraft


@planfold.tool(effect="safe")
def price(item: str, quantity: int = 1) -> dict[str, float]:
    """What an order costs."""
    return {"total": {"book": 12.5, "pen": 1.25}[item] * quantity}


@planfold.tool(effect="keyed")
async def charge(amount: float, context: TaskContext) -> str:
    """Charge the customer; the payment service ignores a key that it has seen."""
    return f"charged {amount:.2f} under the key {context.idempotency_key}"


@planfold.tool(effect="keyed")
async def ship(item: str, context: TaskContext) -> str:
    """Book a parcel, then print its label: two steps, each done once."""
    parcel = await context.once("parcel", lambda: f"parcel for a {item}")
    await context.progress("printing the label")
    label = await context.once("label", lambda: f"label of {parcel}")
    return f"{label} printed"


ORDER = PlanDraft(
    title="An order",
    tasks=[
        TaskDraft(label="price", description="Price it", tool="price", arguments={"item": "book"}),
        TaskDraft(
            label="charge",
            description="Charge it",
            tool="charge",
            arguments={"amount": "$price.total"},
        ),
        TaskDraft(
            label="ship",
            description="Ship it",
            tool="ship",
            arguments={"item": "book"},
            depends_on=["charge"],
        ),
    ],
)


async def main() -> None:
    async with planfold.open_app("sqlite:///orders.db", tools=[price, charge, ship]) as app:
        # The id is our own: running this script again does not charge twice.
        plan_id = await app.submit(ORDER, plan_id="order-1", approved_by="shop")
        plan = await app.run(plan_id)
        for task in plan.tasks:
            print(f"{task.description}: {task.result}")


if __name__ == "__main__":
    asyncio.run(main())
