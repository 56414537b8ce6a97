"""Tools and templates of an office, for the plans beside this file."""

from typing import Any

import planfold
from planfold import Permanent, PlanDraft, TaskDraft


@planfold.tool(effect="safe")
def find_invoices(month: str) -> dict[str, list[dict[str, object]]]:
    """Find the invoices of a month."""
    return {
        "invoices": [
            {"number": n, "total": 400 * n, "email": f"c{n}@example.com"} for n in (1, 2, 3)
        ]
    }


@planfold.tool(effect="keyed")
def post(number: int, amount: float) -> dict[str, object]:
    """Post an invoice to the ledger."""
    if number == 2:
        raise Permanent("the account is closed")
    return {"receipt": f"r-{number}", "amount": amount}


@planfold.tool(effect="safe")
def report(posted: list[Any], failures: str | None = None) -> str:
    """Write a summary."""
    return f"{len([p for p in posted if p])} posted; {failures}"


@planfold.tool(effect="once")
def create_bucket(name: str, region: str = "eu") -> dict[str, str]:
    """Create a bucket."""
    return {"id": f"b-{name}", "region": region}


@planfold.tool(effect="keyed")
def delete_bucket(id: str, name: str = "") -> str:
    """Delete a bucket."""
    return f"deleted {id}"


@planfold.tool(effect="keyed")
def order(number: int) -> dict[str, object]:
    """Place an order."""
    return {"id": f"order-{number}", "amount": 12}


@planfold.tool(effect="keyed")
def ship(order: str, amount: float) -> str:
    """Ship an order."""
    return f"shipped {order}"


@planfold.tool(effect="safe", limit="openai")
def ask_model(question: str) -> str:
    """Ask a model."""
    return f"an answer to {question}"


@planfold.tool(effect="keyed")
def send_mail(to: str, text: str) -> str:
    """Send a mail."""
    return f"sent to {to}"


@planfold.tool(effect="once")
def deploy_to(region: str, version: str, token: str) -> dict[str, str]:
    """Deploy a version to a region."""
    return {"url": f"https://{region}.example.com/{version}"}


@planfold.template
def rollout(version: str, regions: list[str], canary: bool = True) -> PlanDraft:
    """Roll a version out, to a canary first."""
    tasks = []
    if canary:
        tasks.append(
            TaskDraft(
                label="canary",
                description="Deploy the canary",
                tool="shell",
                arguments={"argv": ["echo", "canary", "$params.version"]},
                effect="safe",
            )
        )
        tasks.append(
            TaskDraft(
                label="go",
                description="Is the canary fine?",
                choices=["yes", "no"],
                depends_on=["canary"],
            )
        )
    tasks.append(
        TaskDraft(
            label="all",
            description="Deploy to $item",
            tool="shell",
            arguments={"argv": ["echo", "$item", "$params.version"]},
            for_each="$params.regions",
            concurrency=2,
            item_label="$item",
            when='$go == "yes"' if canary else None,
        )
    )
    return PlanDraft(title="Roll out $params.version", tasks=tasks)
