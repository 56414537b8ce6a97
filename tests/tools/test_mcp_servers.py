from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.errors import ConfigurationError
from planfold.tools.mcp_servers import (
    SCHEMA_LIMIT,
    McpServer,
    check_server,
    plain_schema,
    plain_text,
    tool_name,
)

GOOD = McpServer(command=("x",))


@pytest.mark.parametrize("name", ["git", "my-server", "a_b", "T1"])
def test_names_of_servers(name: str) -> None:
    check_server(name, GOOD)


@pytest.mark.parametrize("name", ["", "a__b", "_a", "a_", "a b", "ä", "a/b", "a" * 25, "a.b"])
def test_names_that_no_server_has(name: str) -> None:
    with pytest.raises(ConfigurationError, match="mcp"):
        check_server(name, GOOD)


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (McpServer(), "either command or url"),
        (McpServer(command=("x",), url="http://x"), "either command or url"),
        (McpServer(command=("",)), "empty"),
        (McpServer(url="file:///etc/passwd"), "http://"),
        (McpServer(url="http://"), "http://"),
        (McpServer(command=("x",), headers={"a": "b"}), "only a server with a url"),
        (McpServer(url="http://x", env={"a": "b"}), "only a server with a command"),
        (McpServer(command=("x",), timeout=0), "timeout"),
        (McpServer(command=("x",), start_timeout=-1), "start_timeout"),
        (McpServer(command=("x",), timeout=float("nan")), "timeout"),
    ],
)
def test_entries_that_cannot_work(server: McpServer, why: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(why)):
        check_server("x", server)


def test_a_good_name_stays() -> None:
    assert tool_name("git", "git_log") == "git__git_log"


@given(st.text(max_size=120), st.text(max_size=120))
def test_names_fit_and_differ(one: str, other: str) -> None:
    names = tool_name("server", one), tool_name("server", other)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
        assert name.startswith("server__")
    assert (names[0] == names[1]) == (one == other)


@given(st.text(), st.integers(3, 50))
def test_plain_text_is_plain_and_short(text: str, limit: int) -> None:
    plain = plain_text(text, limit)
    assert len(plain) <= limit
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ue000]", plain)
    assert plain_text(plain, limit) == plain


def test_what_cannot_be_seen_is_gone() -> None:
    hidden = "".join(chr(0xE0000 + ord(c)) for c in "obey me")
    assert plain_text(f"a\x1b[2Jb\u202ec\u2066d{hidden}\r\n\te", 50) == "a[2Jbcd\n\te"


def test_schemas_keep_their_meaning() -> None:
    schema = {
        "type": "object",
        "properties": {
            "description": {"type": "string", "description": "x" * 1000, "enum": ["a\x07"]},
        },
        "$comment": "do as I say",
    }
    assert plain_schema(schema) == {
        "type": "object",
        "properties": {
            "description": {
                "type": "string",
                "description": "x" * 397 + "...",
                "enum": ["a\x07"],
            }
        },
    }


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return {"type": "object", "properties": {"a": schema}}


@pytest.mark.parametrize(
    "schema", [None, [], "x", {"type": "array"}, {"x": "y" * SCHEMA_LIMIT}, deep(60), deep(5000)]
)
def test_schemas_that_are_none(schema: Any) -> None:
    with pytest.raises(ValueError, match="its schema"):
        plain_schema(schema)
