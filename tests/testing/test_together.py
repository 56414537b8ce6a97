"""Tests that share what is expensive to set up run in one process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from xdist import newhooks
from xdist.remote import Producer

from testbed.together import GROUPS, scheduler

ROOT = Path(__file__).resolve().parents[2]
TESTS = [f"tests/{folder}/test_it.py::test[{n}]" for n in range(8) for folder in ("page", "tools")]
CONFIG: Any = SimpleNamespace(
    getvalue={"tx": ["2*popen"]}.__getitem__,
    option=SimpleNamespace(loadscopereorder=True),
)


class Node:
    """A process of pytest-xdist that keeps what it is given."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.given: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_each_group_has_tests() -> None:
    for path in GROUPS:
        assert list(ROOT.glob(f"{path}*")), path


def test_a_group_is_given_to_one_process() -> None:
    """A version of pytest-xdist that asks for groups in another way fails here."""
    assert hasattr(newhooks, "pytest_xdist_make_scheduler")
    sharing, nodes = scheduler(CONFIG, Producer("test", enabled=False)), [Node("a"), Node("b")]
    for node in nodes:
        sharing.add_node(node)
    for node in nodes:
        sharing.add_node_collection(node, TESTS)
    sharing.schedule()
    while any(node.given for node in nodes):
        for node in nodes:
            given = [TESTS[i] for i in node.given]
            pages = [test for test in given if "/page/" in test]
            assert len(pages) in (0, 8)
            done, node.given = node.given, []
            for index in done:
                sharing.mark_test_complete(node, index)
    assert sharing.tests_finished
