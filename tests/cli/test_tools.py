"""``planfold tools``: what there is to call, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import called

TEMPLATE = """
import planfold

@planfold.template
def release(version: str, checked: bool = True) -> planfold.PlanDraft:
    \"\"\"Release a version.\"\"\"
    return planfold.PlanDraft(tasks=[planfold.TaskDraft(description="Go on?")])
"""
MISSING = '[mcp.gone]\ncommand = ["/no/such/program"]\n'


def test_the_built_in_tools_are_listed(folder: Path) -> None:
    out = called("tools")
    for name, effect in (("shell", "once"), ("read_file", "safe"), ("edit_file", "keyed")):
        (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert effect in line
    assert not list(folder.iterdir())  # no database is made


def test_one_tool_with_its_schema() -> None:
    out = called("tools", "edit_file")
    assert "Replace a text in a file of the workspace." in out
    assert "keyed: runs again" in out
    assert '"additionalProperties": false' in out
    (tool,) = json.loads(called("tools", "edit_file", "--json"))["tools"]
    assert tool["parameters"]["required"] == ["path", "old", "new"]
    assert tool["effect"] == "keyed"
    assert tool["server"] is None


def test_one_template_with_its_parameters(folder: Path) -> None:
    (folder / "own_templates.py").write_text(TEMPLATE)
    out = called("tools", "release", "--tools", "own_templates")
    assert "Release a version." in out
    assert "planfold run release --set version=VALUE" in out
    assert '"default": true' in out
    found = json.loads(called("tools", "release", "--tools", "own_templates", "--json"))
    assert found["tools"] == []
    assert found["templates"][0]["parameters"]["required"] == ["version"]
    near = called("tools", "releese", "--tools", "own_templates", code=2)
    assert "did you mean 'release'?" in near


def test_a_server_that_is_not_there(folder: Path) -> None:
    pytest.importorskip("mcp")
    (folder / "planfold.toml").write_text(MISSING)
    out = called("tools")
    assert "unavailable: gone: it cannot be used: there is no program '/no/such/program'" in out
    assert "there is no program" in called("tools", "gone__x", code=2)


def test_an_unknown_tool() -> None:
    assert "did you mean 'read_file'?" in called("tools", "reed_file", code=2)
