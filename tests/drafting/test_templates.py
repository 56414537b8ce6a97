"""Templates: functions that make plans of parameters, found by their name."""

from __future__ import annotations

from typing import Any

import pytest

from planfold import ConfigurationError, InvalidPlan, Parameter, PlanDraft, TaskDraft, template
from planfold.drafting.compiler import compile_plan
from planfold.drafting.templates import Template, drafted
from planfold.executors.shell import SHELL
from planfold.tools.tool import Toolbox

TOOLS = Toolbox([SHELL])


@template
def deploy(version: str, regions: list[str] | None = None, dry: bool = False) -> PlanDraft:
    """Deploy a version.

    More is said here.
    """
    tasks = [
        TaskDraft(
            description=f"Deploy to {region}",
            tool="shell",
            arguments={"argv": ["deploy", "$params.version", f"$params.regions[{place}]"]},
        )
        for place, region in enumerate(regions or [])
    ]
    return PlanDraft(title="Deploy $params.version", tasks=tasks or [TaskDraft(description="None")])


def made(found: Template, **values: Any) -> PlanDraft:
    return drafted(found.name, values, TOOLS, {found.name: found}).draft


def test_the_signature_declares_the_parameters() -> None:
    assert (deploy.name, deploy.description) == ("deploy", "Deploy a version.")
    assert deploy.params == {
        "version": Parameter(),
        "regions": Parameter(type="list", default=None),
        "dry": Parameter(type="boolean", default=False),
    }
    assert deploy("1.2").title == "Deploy $params.version", "it can still be called"


def test_a_template_is_named_and_gets_values() -> None:
    draft = made(deploy, version="$1 `id`", regions='["eu", "us"]')
    assert draft.title == "Deploy $1 `id`"
    argv = [spec.tool.arguments["argv"] for spec in compile_plan(draft, TOOLS) if spec.tool]
    assert argv == [["deploy", "$$1 `id`", "eu"], ["deploy", "$$1 `id`", "us"]]


def test_a_file_is_never_the_name_of_a_template() -> None:
    draft = drafted("deploy", {}, TOOLS, {"deploy": deploy}, source="deploy").draft
    assert draft.tasks[0].description == "deploy"


def test_values_are_checked_before_the_function_runs() -> None:
    with pytest.raises(InvalidPlan, match=r"params\.version: is missing"):
        made(deploy)
    with pytest.raises(InvalidPlan, match="there is no parameter 'region'"):
        made(deploy, version="1", region="eu")
    with pytest.raises(InvalidPlan, match=r"params\.dry: is a string; it must be a boolean"):
        made(deploy, version="1", dry="perhaps")


@pytest.mark.parametrize("value", ["$1.stdout", "$(rm -rf /)", "`id`", "a;b", "a\nb", "x'y"])
def test_a_value_that_the_function_writes_into_a_task_is_refused(value: str) -> None:
    @template
    def careless(version: str) -> PlanDraft:
        script = {"script": f"echo {version}"}
        return PlanDraft(tasks=[TaskDraft(description="x", tool="shell", arguments=script)])

    with pytest.raises(InvalidPlan, match=r"task 1, arguments: .*write \$params\.version"):
        made(careless, version=value)


def test_a_secret_is_named_in_the_decorator() -> None:
    @template(name="push", secrets=["token"])
    def function(token: str) -> PlanDraft:
        arguments = {"argv": ["push", "--token", "$params.token"]}
        return PlanDraft(tasks=[TaskDraft(description="x", tool="shell", arguments=arguments)])

    assert function.params["token"].type == "secret"
    with pytest.raises(InvalidPlan, match="is not a reference to a secret") as raised:
        made(function, token="hunter2-hunter2")
    assert "hunter2" not in str(raised.value)
    draft = made(function, token="secret://PUSH")
    assert draft.tasks[0].arguments == {"argv": ["push", "--token", "secret://PUSH"]}


def test_a_function_that_fails_or_returns_something_else_is_a_fault() -> None:
    @template
    def failing() -> PlanDraft:
        raise KeyError("x")

    @template
    def wrong() -> PlanDraft:
        return PlanDraft(tasks=[], params={"a": Parameter()})

    with pytest.raises(InvalidPlan, match="template failing raised KeyError"):
        made(failing)
    with pytest.raises(InvalidPlan, match="did not return a PlanDraft without params"):
        made(wrong)


def _any(*values: Any) -> PlanDraft: ...


def _odd(value: complex) -> PlanDraft: ...


def _default(value: int = "x") -> PlanDraft: ...  # type: ignore[assignment]


async def _later() -> PlanDraft: ...


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (_any, {}),
        (_odd, {}),
        (_default, {}),
        (_later, {}),
        (lambda: None, {}),
        (deploy.function, {"name": "a b"}),
        (deploy.function, {"secrets": ["other"]}),
        (deploy.function, {"secrets": ["dry"]}),
    ],
)
def test_a_function_that_cannot_be_a_template_is_refused(
    function: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        template(**options)(function)
