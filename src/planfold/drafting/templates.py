"""``Template``: a Python function that makes a plan of parameters, and is found by its name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, Union, get_args, get_origin, get_type_hints, overload

import msgspec

from planfold.drafting.binding import BoundPlan, bound
from planfold.drafting.draft import Parameter, PlanDraft, TaskDraft
from planfold.drafting.faults import Faults
from planfold.drafting.parameters import declared_parameters, parameter_values
from planfold.drafting.shape import task_name
from planfold.drafting.sub_plans import ReadPlan, with_sub_plans
from planfold.errors import ConfigurationError, InvalidPlan
from planfold.planner.references import LABEL
from planfold.tools.tool import Toolbox

_TYPES: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}
_CONTAINERS: Final = {list: "list", dict: "object"}
_PLAIN: Final = re.compile(r"[\w .,:/@+=-]*")  # neither a reference nor anything of a shell


class Template:
    """A plan that a function makes; see :func:`template`. Calling it calls the function, as if
    undecorated. ``params`` are its parameters, ``description`` says what the plan is for."""

    def __init__(
        self,
        function: Callable[..., PlanDraft],
        *,
        name: str | None = None,
        secrets: Collection[str] = (),
    ) -> None:
        self.function = function
        self.name = getattr(function, "__name__", "") if name is None else name
        if not isinstance(self.name, str) or not LABEL.fullmatch(self.name):
            raise ConfigurationError(
                f"{self.name!r} is not the name of a template; use a letter or _ first, then "
                "letters, digits, _ and -: @template(name=...)"
            )
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise ConfigurationError(f"template {self.name!r} must return a PlanDraft at once")
        self.description = (inspect.getdoc(function) or "").partition("\n\n")[0]
        self.params = _parameters(function, self.name, frozenset(secrets))

    def __call__(self, *args: Any, **kwargs: Any) -> PlanDraft:
        """Call the function itself; no parameter is checked."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Template {self.name}>"

    def draft(self, given: Mapping[str, Any]) -> PlanDraft:
        """The draft that the function makes of checked values; it declares ``params``.

        Raises InvalidPlan: a value is missing, not known or of another type, or a text of the
        draft holds one that could be read as a reference or a command.
        """
        faults = Faults()
        values = parameter_values(self.params, given, faults)
        faults.raise_any()
        try:
            made = self.function(**{each.name: each.value for each in values})
        except Exception as error:
            message = f"template {self.name} raised {type(error).__name__}"
            faults.add(message, fix="correct the function")
            raise InvalidPlan(faults.found) from error
        if not isinstance(made, PlanDraft) or made.params:
            message = f"template {self.name} did not return a PlanDraft without params"
            faults.add(message, fix="the parameters of the function are those of the plan")
            faults.raise_any()
        for each in values:
            for name, field in _places_of(each.value, made):
                message = f"holds the value of the parameter {each.name} as text"
                fix = f"write $params.{each.name}, so that it stays a value"
                faults.add(message, task=name, field=field, fix=fix)
        faults.raise_any()
        return msgspec.structs.replace(made, params=self.params)


@overload
def template(function: Callable[..., PlanDraft], /) -> Template: ...
@overload
def template(
    *, name: str | None = None, secrets: Collection[str] = ()
) -> Callable[[Callable[..., PlanDraft]], Template]: ...
def template(function: Callable[..., PlanDraft] | None = None, /, **options: Any) -> Any:
    """Make a template of a function that returns a :class:`PlanDraft`: ``@template``.

    It is offered to an app as tools are, and then its ``name`` (default: the function's) names
    the plan: ``app.submit("release", params={"version": "1.2"})``. The parameters of the function
    are those of the plan: str, int, float, bool, list or dict; ``secrets`` names those whose
    values are references to secrets.

    The function has the values for what depends on them, such as which tasks there are. In texts
    it writes ``$params.version``, as a plan file does, so that a value stays a value.

    Raises:
        ConfigurationError: a parameter has no such type, or the name cannot be used.

    Example:
        import planfold
        from planfold import PlanDraft, TaskDraft

        @planfold.template
        def release(version: str, checked: bool = True) -> PlanDraft:
            tag = TaskDraft(
                description="Tag $params.version",
                tool="shell",
                arguments={"argv": ["git", "tag", "$params.version"]},
            )
            ask = TaskDraft(description="Is $params.version ready?", choices=["yes", "no"])
            return PlanDraft(title="Release $params.version", tasks=[ask, tag][not checked :])

        async with planfold.open_app("sqlite:///:memory:", tools=[release]) as app:
            plan_id = await app.submit("release", params={"version": "1.2"})
            print((await app.view(plan_id)).title)  # Release 1.2
    """
    if function is not None:
        return Template(function)
    return lambda decorated: Template(decorated, **options)


def drafted(
    plan: PlanDraft | str,
    given: Mapping[str, Any],
    toolbox: Toolbox,
    templates: Mapping[str, Template],
    *,
    source: str = "-",
    read: ReadPlan | None = None,
) -> BoundPlan:
    """The plan with the values of its parameters: a draft, a text, or the name of a template. The
    sub-plans that its tasks name are written out in it.

    ``source`` is as in :func:`load_plan`, ``read`` finds plan files. Raises InvalidPlan.
    """
    found = _read(plan, toolbox, templates, source)
    found = found.draft(given) if isinstance(found, Template) else found
    draft, values = bound(found, given, toolbox)
    return BoundPlan(with_sub_plans(draft, toolbox, templates, read, source), values)


def parameters_of(
    plan: PlanDraft | str,
    toolbox: Toolbox,
    templates: Mapping[str, Template],
    *,
    source: str = "-",
) -> dict[str, Parameter]:
    """The parameters that the plan declares; arguments as for :func:`drafted`. Raises
    InvalidPlan."""
    found = _read(plan, toolbox, templates, source)
    if isinstance(found, Template):
        return found.params
    faults = Faults()
    declared = declared_parameters(found, faults)
    faults.raise_any()
    return declared


def _read(
    plan: PlanDraft | str, toolbox: Toolbox, templates: Mapping[str, Template], source: str
) -> PlanDraft | Template:
    if not isinstance(plan, str):
        return plan
    if source == "-" and (template := templates.get(plan.strip())) is not None:
        return template
    from planfold.drafting.files import load_plan

    return load_plan(plan, source=source, tools=[tool.name for tool in toolbox])


def _parameters(
    function: Callable[..., Any], name: str, secrets: Collection[str]
) -> dict[str, Parameter]:
    try:
        hints = get_type_hints(function)
        parameters = inspect.signature(function).parameters
    except Exception as error:
        raise ConfigurationError(f"template {name!r}: its types cannot be read: {error}") from error
    found: dict[str, Parameter] = {}
    for key, parameter in parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigurationError(f"template {name!r}: parameter {key} needs a name of its own")
        hint = _without_none(hints.get(key, str))
        kind: Any = _TYPES.get(hint) or _CONTAINERS.get(get_origin(hint) or hint)
        if kind is None or (key in secrets and kind != "string"):
            raise ConfigurationError(
                f"template {name!r}: parameter {key} must be a str, int, float, bool, list or dict"
                ", and a secret a str"
            )
        default = msgspec.UNSET if parameter.default is parameter.empty else parameter.default
        found[key] = Parameter(type="secret" if key in secrets else kind, default=default)
    for key in secrets:
        if key not in found:
            raise ConfigurationError(f"template {name!r} has no parameter {key!r}")
    faults = Faults()
    declared_parameters(PlanDraft(tasks=[], params=found), faults)
    for fault in faults.found:
        raise ConfigurationError(f"template {name!r}: {fault}")
    return found


def _without_none(hint: Any) -> Any:
    """X of ``X | None``."""
    parts = [part for part in get_args(hint) if part is not type(None)]
    is_union = get_origin(hint) is Union or type(hint).__name__ == "UnionType"
    return parts[0] if is_union and len(parts) == 1 else hint


def _places_of(value: Any, draft: PlanDraft) -> Iterator[tuple[str, str]]:
    """Where a draft holds a text that could be read as something else than a value."""
    texts = {text for text in _texts(value) if not _PLAIN.fullmatch(text)}
    if not texts or not isinstance(draft.tasks, (list, tuple)):
        return
    for place, task in enumerate(draft.tasks, start=1):
        if not isinstance(task, TaskDraft):
            continue
        for field in ("arguments", "when", "for_each"):
            inside = list(_texts(getattr(task, field)))
            if any(text in where for text in texts for where in inside):
                yield task_name(task.id, task.label, place), field


def _texts(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            stack += item
