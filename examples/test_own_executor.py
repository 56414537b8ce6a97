"""How to test an executor of one's own with its plan: retries, deadlines, and a model that calls
it. The harness is in ``harness.py``."""

from harness import Harness
from planfold import Effect, PlanDraft, RetryPolicy, TaskContext, TaskDraft
from planfold.executor import Outcome, TaskCompleted, TaskFailed, Tool
from planfold.testing import Answer, ToolRequest


class Mailer:
    """Sends mail by a server that may fail; ``sent`` has the keys that the server has seen."""

    tool = Tool(
        name="mail",
        description="Send a mail.",
        parameters={
            "type": "object",
            "properties": {"to": {"type": "string"}},
            "required": ["to"],
            "additionalProperties": False,
        },
        effect=Effect.Keyed,
    )

    def __init__(self, faults: int = 0) -> None:
        self.sent: dict[str, str] = {}
        self.faults = faults

    async def execute(self, context: TaskContext) -> Outcome:
        if self.faults:
            self.faults -= 1
            return TaskFailed("the mail server is unavailable", retryable=True)
        self.sent[context.idempotency_key] = context.arguments["to"]
        return TaskCompleted("sent")


RETRY = RetryPolicy(attempts=3, base=3_600.0, cap=3_600.0)
MAIL = TaskDraft(
    label="mail", description="Write to Ada", tool="mail", arguments={"to": "ada"}, retry=RETRY
)


async def test_a_mail_is_sent_an_hour_later() -> None:
    mailer = Mailer(faults=1)
    async with Harness(mailer) as harness:
        plan_id = await harness.begin(PlanDraft(title="Mail", tasks=[MAIL]))
        await harness.run_up_to(plan_id, "RetryScheduled")
        assert mailer.sent == {}
        harness.clock.advance(3_600)
        plan = await harness.run(plan_id)
        assert (plan.status, plan.task("mail").attempt) == ("completed", 2)
    assert list(mailer.sent.values()) == ["ada"]


async def test_a_question_gets_its_default_after_a_day() -> None:
    day = 86_400.0
    ask = TaskDraft(
        label="to", description="Whom?", choices=["ada", "grace"], default="grace", deadline=day
    )
    mail = TaskDraft(label="mail", description="Write it", tool="mail", arguments={"to": "$to"})
    mailer = Mailer()
    async with Harness(mailer) as harness:
        plan_id = await harness.begin(PlanDraft(title="Mail", tasks=[ask, mail]))
        await harness.run_up_to(plan_id, "ClarificationRequested")
        harness.clock.advance(day)
        assert (await harness.run(plan_id)).status == "completed"
    assert list(mailer.sent.values()) == ["grace"]


async def test_a_model_calls_the_executor_after_a_person_has_allowed_it() -> None:
    mailer = Mailer()
    call = Answer(calls=(ToolRequest("1", "mail", {"to": "ada"}),))
    async with Harness(mailer, replies=[call, "Ada knows."]) as harness:
        plan_id = await harness.begin("1. Write to Ada that the ship is late {#write}")
        [question] = (await harness.run(plan_id)).questions
        assert "mail" in question.question
        assert mailer.sent == {}
        await harness.app.answer(plan_id, question.task_id, "allow once")
        plan = await harness.run(plan_id)
        assert plan.task("write").result == "Ada knows."
        assert len(harness.model.requests) == 2
    assert list(mailer.sent.values()) == ["ada"]
