"""A script without an event loop: it gives a plan to the service of this machine and waits.

    planfold serve &
    python synchronous_script.py

The service runs the plan, so it continues when this script ends. Run it again: it finds the plan
that it began before.
"""

import planfold

PLAN = """
# Greetings

1. Whom do we greet? {#name}
   - world
   - crew
2. Run `echo hello, $name!` {#greeting}
"""


PLAN_ID = "greetings-1"


def main() -> None:
    with planfold.Client() as client:
        client.submit(PLAN, plan_id=PLAN_ID, approve=True).run()
        for event in client.events(PLAN_ID):
            if event.event_type == "ClarificationRequested":
                client.answer(PLAN_ID, "name", "world").run()
        plan = client.plan(PLAN_ID).run()
        print(plan.status, "-", plan.task("greeting").result["stdout"])


if __name__ == "__main__":
    main()
