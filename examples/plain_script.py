"""A plan without any service around it: submit it, run it, look at the result."""

import asyncio

import planfold

PLAN = """
# Greetings

- Run `echo hello` {#hello}
- Run `echo world` {#world}

Then

1. Run `echo $hello.stdout, $world.stdout!` {#both}
"""


async def main() -> None:
    async with planfold.open_app("sqlite:///greetings.db") as app:
        plan_id = await app.submit(PLAN, approved_by="me")
        plan = await app.run(plan_id)
        print(plan.status, "-", plan.task("both").result["stdout"])


if __name__ == "__main__":
    asyncio.run(main())
