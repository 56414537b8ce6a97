"""What holds for every call and every set of rules."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from planfold.tools.policy.paths import WorkspacePaths
from planfold.tools.policy.policy import Call, Policy, PolicySettings, Rule
from planfold.tools.policy.programs import RUNNERS, WITH_SUBCOMMANDS, program_kind

STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
WORDS = st.sampled_from(
    ["git", "status", "-s", "-c", "x=y", "a.txt", "../a", "/etc/passwd", "sh", "docs", "", "ls"]
)
TOOLS = st.sampled_from(["shell", "http", "read_file", "write_file", "function", "x__y"])
TOKENS = st.lists(st.sampled_from(["status", "*", "path", "a|b"]), max_size=3).map(tuple)


def resolve(path: str) -> str:
    import os.path

    return os.path.normpath(path)


PLACES = WorkspacePaths("/ws", resolve=resolve)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    decision = draw(st.sampled_from(["allow", "ask", "deny"]))
    kind = draw(st.sampled_from(["any", "program", "host", "path", "where"]))
    more: dict[str, Any] = {}
    if kind == "program":
        more = {"program": draw(st.sampled_from(["ls", "cat", "wc"])), "arguments": draw(TOKENS)}
    elif kind == "host":
        more = {"host": draw(st.sampled_from(["a.org", "*.b.org", "*"]))}
    elif kind == "path":
        more = {"path": draw(st.sampled_from(["**", "docs/**", "a.txt"]))}
    elif kind == "where":
        more = {"where": {"path": draw(st.sampled_from(["*", "a*"]))}}
    if draw(st.booleans()):
        more["secrets"] = ("TOKEN",)
    elif decision == "allow" and kind in ("any", "path", "where") and draw(st.booleans()):
        more["even_tainted"] = True
    if decision != "allow" and draw(st.booleans()):
        more["holds_for"] = "everybody"
    tool = draw(st.sampled_from(["*", "shell", "http", "*_file", "function"]))
    return Rule(decision, tool=tool, **more)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    tool = draw(TOOLS)
    arguments: dict[str, Any]
    if tool == "shell":
        arguments = {"argv": draw(st.lists(WORDS | st.sampled_from(["wc", "cat"]), max_size=4))}
        if draw(st.booleans()):
            arguments["env"] = {"A": draw(st.sampled_from(["1", "secret://TOKEN"]))}
    elif tool == "http":
        arguments = {
            "url": draw(st.sampled_from(["http://a.org/", "http://x.b.org/?s=secret://T"]))
        }
    else:
        arguments = {"path": draw(st.sampled_from(["a.txt", "docs/b", "../x", "planfold.toml"]))}
    return Call(
        tool=tool,
        arguments=arguments,
        server=draw(st.sampled_from(["", "x"])),
        proposed=draw(st.booleans()),
        tainted=draw(st.booleans()),
    )


def decide(found: list[Rule], call: Call) -> str:
    policy = Policy(PolicySettings(tuple(found), ("a.org",)), PLACES, which=lambda n: f"/bin/{n}")
    return policy.decide(call).decision


@given(st.lists(rules(), max_size=5), calls())
def test_a_tainted_call_is_never_less_strict(found: list[Rule], call: Call) -> None:
    clean = decide(found, msgspec.structs.replace(call, tainted=False))
    tainted = decide(found, msgspec.structs.replace(call, tainted=True))
    assert STRICTNESS[tainted] >= STRICTNESS[clean]


@given(st.lists(rules(), max_size=5), calls())
def test_what_reaches_out_after_taint_is_never_allowed(found: list[Rule], call: Call) -> None:
    call = msgspec.structs.replace(call, tainted=True, proposed=True)
    if call.tool in ("shell", "http") or call.server or "secret://" in str(call.arguments):
        assert decide(found, call) != "allow"


@given(st.lists(rules(), max_size=5), calls())
def test_what_a_model_proposes_is_never_less_strict(found: list[Rule], call: Call) -> None:
    authored = decide(found, msgspec.structs.replace(call, proposed=False))
    proposed = decide(found, msgspec.structs.replace(call, proposed=True))
    assert STRICTNESS[proposed] >= STRICTNESS[authored]


@given(st.lists(rules(), max_size=5), calls(), st.integers(0, 5))
def test_a_rule_that_denies_only_makes_it_stricter(
    found: list[Rule], call: Call, place: int
) -> None:
    everybody = Rule("deny", tool=call.tool, holds_for="everybody")
    denied = [*found[:place], everybody, *found[place:]]
    assert decide(denied, call) == "deny"
    without = [rule for rule in found if rule.decision != "deny"]
    assert STRICTNESS[decide(without, call)] <= STRICTNESS[decide(found, call)]


@given(st.lists(rules(), max_size=5), calls(), st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_decide(found: list[Rule], call: Call, random: Any) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert decide(shuffled, call) == decide(found, call)


@given(st.lists(WORDS | st.text(max_size=8), max_size=6))
@settings(max_examples=200)
def test_only_listed_options_and_inner_paths_pass_a_rest(words: list[str]) -> None:
    rule = Rule("allow", program="ls", arguments=("...",), options=("-s",))
    call = Call(tool="shell", arguments={"argv": ["ls", *words]})
    if decide([rule], call) == "allow":
        for word in words:
            assert word == "-s" or not word.startswith("-") or word == "-"
            assert not word.startswith(("/", "~", "+"))
            assert ".." not in word.split("/")


@given(
    st.sampled_from(sorted(RUNNERS)),
    st.sampled_from(["/usr/bin/", ""]),
    st.sampled_from(["", "3.12", "5"]),
)
def test_runners_are_known_in_every_dress(name: str, folder: str, version: str) -> None:
    assert program_kind(f"{folder}{name}{version}") in RUNNERS
    assert not RUNNERS & WITH_SUBCOMMANDS
