"""Any content of an event: it is refused before it is written, or read back as it was."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import msgspec.inspect as shapes
import pytest
from hypothesis import given, settings

import planfold
from planfold import PlanDraft, TaskDraft
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Query
from planfold.eventstore.event_rows import clock_time, decode_metadata, encode_metadata
from planfold.handler import Metadata
from planfold.planner.commands import CancelPlan
from planfold.planner.events import TasksPlanned
from planfold.planner.tasks import TaskSpec
from planfold.runtime.aggregate import PLAN

CODEC = Codec(PLAN.event_types)
EVENTS = list(PLAN.events)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=2)
    ),
    max_leaves=4,
)
strange = st.sampled_from(
    [object(), {1, 2}, b"bytes", datetime.date(2026, 1, 2), enum.Enum("E", "a").a, "\ud800", 2j]  # type: ignore[attr-defined]
)


def values(shape: Any) -> st.SearchStrategy[Any]:
    """Values of a type, and now and then one of another."""
    right, wrong = _right(shape), anything | strange
    if isinstance(shape, shapes.StructType):  # one reads a mapping, and passes over other keys
        wrong = wrong.filter(lambda value: not isinstance(value, dict))
    return st.one_of(*(right.map(_same) for _ in range(9)), wrong.map(_same))


def _same(value: Any) -> Any:  # keeps the alternatives above apart, so that each counts
    return value


def _right(shape: Any) -> st.SearchStrategy[Any]:
    match shape:
        case shapes.StructType(cls=cls):
            return events(cls)
        case shapes.UnionType(types=types):
            return st.one_of(*(values(each) for each in types))
        case shapes.DictType(key_type=key, value_type=value):
            return st.dictionaries(_right(key), values(value), max_size=2)
        case shapes.ListType(item_type=item) | shapes.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=2).map(tuple)
        case shapes.TupleType(item_types=items):
            return st.tuples(*map(values, items))
        case shapes.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case shapes.LiteralType(values=among):
            return st.sampled_from(among)
        case shapes.StrType():
            return st.text(max_size=8)
        case shapes.BoolType():
            return st.booleans()
        case shapes.IntType():
            return st.integers(-(2**63), 2**63)
        case shapes.FloatType():
            return st.floats()
        case shapes.NoneType():
            return st.none()
        case shapes.AnyType():
            return anything
    raise NotImplementedError(shape)


@cache
def events(cls: type) -> st.SearchStrategy[Any]:
    """Instances of a struct, with and without the fields that have a default."""
    shape = shapes.type_info(cls)
    assert isinstance(shape, shapes.StructType)
    needed = {field.name: values(field.type) for field in shape.fields if field.required}
    optional = {field.name: values(field.type) for field in shape.fields if not field.required}
    return st.fixed_dictionaries(needed, optional=optional).map(lambda given: cls(**given))


def plain(value: Any) -> Any:
    """As JSON has it: tuples are lists there, and keys are texts; an empty list may be the default
    that is left out."""

    def listed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: listed(each) for key, each in value.items() if listed(each) != []}
        return [*map(listed, value)] if isinstance(value, list | tuple) else value

    return listed(msgspec.to_builtins(value, str_keys=True))


def written(encode: Callable[[], Any], name: str) -> Any:
    """What it returns; None where it refuses and says what."""
    try:
        return encode()
    except ValueError as refusal:
        if name not in str(refusal):
            raise
        return None


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
def test_an_event_is_refused_or_read_back_equal(cls: type) -> None:
    seen = {"written": 0, "refused": 0}

    @settings(max_examples=50, deadline=None)
    @given(events(cls))
    def each(event: Any) -> None:
        recorded = written(lambda: CODEC.encode(event), cls.__name__)
        if recorded is not None:
            assert plain(CODEC.decode(*recorded)) == plain(event)
        seen["refused" if recorded is None else "written"] += 1

    each()
    assert seen["written"]
    assert seen["refused"] or not cls.__struct_fields__  # type: ignore[attr-defined]


FIELDS = shapes.type_info(Metadata).fields  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.builds(Metadata, **{field.name: values(field.type) for field in FIELDS}))
def test_metadata_is_refused_or_read_back_equal(metadata: Metadata) -> None:
    data = written(lambda: encode_metadata(metadata, "plan-1", 5.0), "metadata of plan-1")
    if data is None:
        return
    found = decode_metadata(data, "plan-1")
    expected = msgspec.structs.replace(
        metadata,
        now=0.0 if metadata.now == 5.0 else metadata.now + 0.0,
        worker=metadata.worker or metadata.extra.get("worker", ""),
        claimed_at=clock_time(metadata.claimed_at),
        began_at=clock_time(metadata.began_at),
    )
    assert plain(msgspec.structs.asdict(found)) == plain(msgspec.structs.asdict(expected))


@pytest.mark.parametrize(
    ("at", "recorded"), [(-5.0, -5.0), (-5.00004, -5.0), (-0.00006, -0.0001), (1.00006, 1.0001)]
)
def test_times_are_recorded_to_a_tenth_of_a_millisecond(at: float, recorded: float) -> None:
    assert clock_time(at) == recorded


@pytest.mark.parametrize("retry", [2, "x", {"max_attempts": "many"}])
def test_a_retry_that_is_no_policy_is_named(retry: Any) -> None:
    spec = TaskSpec(id=1, description="a task", retry=retry)
    with pytest.raises(ValueError, match=r"TasksPlanned .*\$\.tasks\[0\]\.retry"):
        CODEC.encode(TasksPlanned("title", "goal", (spec,), "hash"))


async def test_extra_that_is_no_text_is_refused_and_the_plan_continues(tmp_path: Path) -> None:
    async with planfold.open_app(f"sqlite:///{tmp_path}/plans.db") as app:
        draft = PlanDraft(title="t", tasks=[TaskDraft(description="d", choices=["a", "b"])])
        plan_id = await app.submit(draft)
        before = await app.store.read(Query())
        extra: Any = {"n": 1}
        with pytest.raises(ValueError, match=r"metadata .* `str`"):
            await app.dispatcher.send(PLAN, plan_id, CancelPlan(), extra=extra)
        assert await app.store.read(Query()) == before
        await app.dispatcher.send(PLAN, plan_id, CancelPlan())
        assert (await app.view(plan_id)).status == "cancelled"
