"""The names of spans and attributes: OpenTelemetry's conventions for generative AI, v0.1.0.

They are in development (github.com/open-telemetry/semantic-conventions-genai), so that they may
change: then this module does. What they have no name for begins with ``planfold.``.
"""

from __future__ import annotations

from typing import Final

CONVENTIONS: Final = "gen-ai 0.1.0"

INVOKE_WORKFLOW: Final = "invoke_workflow"  # the plan
PLAN: Final = "plan"  # a drafting task
INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"
ASK: Final = "ask_person"  # not in the conventions
STEP: Final = "step"  # a paid step of a tool of the user's own; not in the conventions

OPERATION: Final = "gen_ai.operation.name"
AGENT_NAME: Final = "gen_ai.agent.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"  # content
TOOL_RESULT: Final = "gen_ai.tool.call.result"  # content
ERROR_TYPE: Final = "error.type"

PLAN_ID: Final = "planfold.plan.id"
PLAN_TITLE: Final = "planfold.plan.title"  # content
TASK_ID: Final = "planfold.task.id"
TASK_TEXT: Final = "planfold.task.description"  # content
ATTEMPT: Final = "planfold.attempt"
ROUTE: Final = "planfold.route"
WORKER: Final = "planfold.worker"
STATUS: Final = "planfold.status"
QUEUED: Final = "planfold.queued_seconds"
COST: Final = "planfold.cost"  # US dollars
ERROR: Final = "planfold.error"  # content
QUESTION: Final = "planfold.question"  # content
ANSWER: Final = "planfold.answer"  # content

OPERATIONS: Final = frozenset({INVOKE_WORKFLOW, PLAN, INVOKE_AGENT, CHAT, EXECUTE_TOOL})
