"""``planfold policy``: the rules, and why."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import called

SETTINGS = """
[policy]
hosts = ["docs.example.org"]
[[policy.rules]]
decision = "deny"
tool = "shell"
program = "curl"
reason = "use http"
[[policy.rules]]
decision = "allow"
tool = "shell"
program = "/bin/true"
arguments = ["status", "..."]
"""


def test_the_whole_policy(folder: Path) -> None:
    assert "  none\n" in called("policy")
    (folder / "planfold.toml").write_text(SETTINGS)
    out = called("policy", "explain")
    assert '2  allow shell /bin/true ["status", "..."]' in out
    assert "docs.example.org" in out
    assert json.loads(called("policy", "--json"))["hosts"] == ["docs.example.org"]


def test_a_call(folder: Path) -> None:
    (folder / "planfold.toml").write_text(SETTINGS)
    call = ("policy", "explain", "shell", '{"argv": ["/bin/true", "status"]}')
    out = called(*call)
    assert out.startswith("allow: shell, called by a model\n  decided by rule 2: ")
    assert "does not match: nothing says curl" in out
    assert called(*call, "--tainted").startswith("ask: shell, called by a model, after")
    found = json.loads(called("policy", "explain", "shell", '{"script": "curl x"}', "--json"))
    assert (found["decision"], found["rule"], found["reason"]) == ("deny", "rule 1", "use http")
    assert [rule["matches"] for rule in found["rules"]] == [True, False]
    written = called("policy", "explain", "shell", '{"script": "curl x"}', "--author")
    assert written.startswith("allow: shell, called by the plan's author")


def test_the_name_of_a_server_decides_whose_tool_it_is() -> None:
    assert called("policy", "explain", "git__status").startswith("ask: git__status")
    given = ("policy", "explain", "read_file", '{"path": "a"}')
    assert called(*given).startswith("allow")
    assert called(*given, "--mcp-server", "x").startswith("ask")


def test_what_is_wrong_is_said(folder: Path) -> None:
    assert "ARGUMENTS is not JSON" in called("policy", "explain", "http", "{", code=2)
    assert "is a JSON object" in called("policy", "explain", "http", "[]", code=2)
    rule = '[[policy.rules]]\ndecision = "allow"\nprogram = "env"\narguments = ["..."]\n'
    (folder / "planfold.toml").write_text(rule)
    assert "policy, rule 1" in called("policy", code=2)
