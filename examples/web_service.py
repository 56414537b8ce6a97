"""planfold inside a web service: orders that a person confirms, with a worker in the background.

    uvicorn --app-dir examples web_service:service

    curl -d '{"id": "order-1", "item": "book", "quantity": 2}' localhost:8000/orders
    curl localhost:8000/orders/order-1
    curl -d '{"answer": "yes"}' localhost:8000/orders/order-1/confirm

The service chooses the tasks and clients send only data: it has no ``shell``, and text of a client
never becomes a plan. It is in parameters, so an item called "$5 voucher" refers to no task. The
example has no authentication. PLANFOLD_DB names the database.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import planfold
from planfold import Parameter, PlanDraft, TaskContext, TaskDraft
from planfold.executor import Executors

PRICES = {"book": 12.5, "pen": 1.25}


class Order(msgspec.Struct):
    id: str  # chosen by the client: posting the same order again changes nothing
    item: str
    quantity: int = 1


class Answer(msgspec.Struct):
    answer: str


@planfold.tool(effect="safe")
def price(item: str, quantity: int) -> float:
    """What an order costs."""
    if item not in PRICES:
        raise planfold.Permanent(f"there is no item {item!r}")
    return PRICES[item] * quantity


@planfold.tool(effect="keyed")
async def charge(amount: float, confirmed: str, context: TaskContext) -> str:
    """Charge the customer; the payment service ignores a key that it has seen."""
    if confirmed != "yes":
        return "not charged"
    return f"charged {amount:.2f} under the key {context.idempotency_key}"


PLAN = PlanDraft(
    title="Order $params.id",
    params={"id": Parameter(), "item": Parameter(), "quantity": Parameter(type="integer")},
    tasks=[
        TaskDraft(
            label="price",
            description="Price it",
            tool="price",
            arguments={"item": "$params.item", "quantity": "$params.quantity"},
        ),
        TaskDraft(
            label="confirm",
            description="Order $params.quantity of $params.item?",
            choices=["yes", "no"],
            depends_on=["price"],
        ),
        TaskDraft(
            label="charge",
            description="Charge it",
            tool="charge",
            arguments={"amount": "$price", "confirmed": "$confirm"},
        ),
    ],
)


async def create(request: Request) -> JSONResponse:
    order = msgspec.json.decode(await request.body(), type=Order)
    plans: planfold.App = request.state.plans
    params = msgspec.to_builtins(order)
    plan_id = await plans.submit(PLAN, plan_id=order.id, params=params, approved_by="web service")
    return JSONResponse({"id": plan_id}, 202)  # recorded, not finished


async def show(request: Request) -> JSONResponse:
    plans: planfold.App = request.state.plans
    plan = await plans.view(request.path_params["id"])
    questions = [{"question": q.question, "choices": q.choices} for q in plan.questions]
    results = {task.label: task.result or task.error for task in plan.tasks}
    return JSONResponse({"status": plan.status, "questions": questions, "results": results})


async def confirm(request: Request) -> JSONResponse:
    answer = msgspec.json.decode(await request.body(), type=Answer).answer
    plans: planfold.App = request.state.plans
    await plans.answer(request.path_params["id"], "confirm", answer, by="customer")
    return JSONResponse({}, 202)


STATUS_CODES: dict[type[Exception], int] = {
    msgspec.MsgspecError: 400,
    planfold.NotFound: 404,
    planfold.CommandRejected: 409,  # the id is used for another order, or nothing is asked
    planfold.InvalidPlan: 422,
    planfold.Transient: 503,
}


async def refuse(_: Request, fault: Exception) -> JSONResponse:
    code = next(code for kind, code in STATUS_CODES.items() if isinstance(fault, kind))
    return JSONResponse({"error": str(fault)}, code)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, planfold.App]]:
    """The server leaves this block on SIGTERM; running tasks then have ``drain_s`` seconds."""
    opened = planfold.open_app(tools=[price, charge], executors=Executors())
    async with opened as plans, plans.worker():
        yield {"plans": plans}


service = Starlette(
    routes=[
        Route("/orders", create, methods=["POST"]),
        Route("/orders/{id}", show),
        Route("/orders/{id}/confirm", confirm, methods=["POST"]),
    ],
    exception_handlers=dict.fromkeys(STATUS_CODES, refuse),
    lifespan=lifespan,
)
