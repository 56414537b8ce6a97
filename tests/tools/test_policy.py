"""What a policy decides, as a table: first what people want, then what attackers try."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from planfold.errors import ConfigurationError
from planfold.tools.policy.paths import WorkspacePaths
from planfold.tools.policy.policy import Call, Policy, PolicySettings, Rule, Verdict

GIT = Rule("allow", tool="shell", program="git", arguments=("status", "..."), options=("-s",))
LS = Rule("allow", tool="shell", program="ls", arguments=("path...",), options=("-l", "-a"))
CAT = Rule("allow", tool="shell", program="cat", arguments=("path",))
TAR = Rule("allow", tool="shell", program="tar", arguments=("-xf", "path", "..."))
FIND = Rule(
    "allow", tool="shell", program="find", arguments=("path", "..."), options=("-name", "-type")
)
GREP = Rule(
    "allow", tool="shell", program="grep", arguments=("*", "path..."), options=("--color=*",)
)
ONE_OF = Rule("allow", tool="shell", program="npm", arguments=("test|lint",))
PYTEST = Rule("allow", tool="shell", program="/opt/bin/pytest", arguments=("path...",))
API = Rule("allow", tool="http", host="api.example.org", path="/v1/**")
DOCS = Rule("allow", path="docs/**", action=("read", "write", "edit"))
FORECAST = Rule("allow", tool="weather__*", where={"city": "*", "units": "metric"})
SHELL_RULES = (GIT, LS, CAT, TAR, FIND, GREP, ONE_OF, PYTEST)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "ws"
    (root / "docs").mkdir(parents=True)
    (root / "sub").mkdir()
    (root / "a.txt").write_text("a")
    (root / ".env").write_text("KEY=1")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("s")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "docs" / "out").symlink_to(tmp_path / "outside" / "secret.txt")
    return root


def which(program: str) -> str | None:
    return {"pytest": "/opt/bin/pytest"}.get(program, f"/usr/bin/{program}")


def decide(workspace: Path, tool: str, arguments: dict[str, Any], *rules: Rule, **more: Any) -> str:
    return verdict(workspace, tool, arguments, *rules, **more).decision


def verdict(
    workspace: Path,
    tool: str,
    arguments: dict[str, Any],
    *rules: Rule,
    hosts: tuple[str, ...] = ("docs.example.org", "*.wiki.org", "127.0.0.1:8080"),
    **more: Any,
) -> Verdict:
    policy = Policy(PolicySettings(rules, hosts), WorkspacePaths(workspace), which=which)
    return policy.decide(Call(tool=tool, arguments=arguments, **more))


def shell(workspace: Path, *argv: Any, **more: Any) -> str:
    return decide(workspace, "shell", {"argv": list(argv), **more}, *SHELL_RULES)


# --- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["git", "status"],
        ["git", "status", "-s", "docs"],
        ["ls"],
        ["ls", "-l", "docs", "-a", "sub"],
        ["ls", "/ws/docs".removeprefix("/ws/")],
        ["cat", "a.txt"],
        ["tar", "-xf", "a.tar", "one", "two"],
        ["find", ".", "-name", "x.py"],
        ["grep", "--color=always", "word", "a.txt"],
        ["npm", "lint"],
        ["pytest", "sub"],
        ["/opt/bin/pytest"],
    ],
)
def test_what_a_rule_spells_out_is_allowed(workspace: Path, argv: list[str]) -> None:
    assert shell(workspace, *argv) == "allow"


@pytest.mark.parametrize(
    "argv",
    [
        # options that run something
        ["git", "-c", "core.pager=sh evil.sh", "status"],
        ["git", "-ccore.fsmonitor=evil", "status"],
        ["git", "--exec-path=/tmp/evil", "status"],
        ["git", "-C", "/tmp/evil", "status"],
        ["git", "--git-dir=sub", "status"],
        ["git", "status", "--output=/etc/passwd"],
        ["git", "-s", "status"],
        ["git", "status", "-s=1"],
        ["tar", "-xf", "a.tar", "--to-command=sh"],
        ["tar", "-xf", "a.tar", "--to-command", "sh"],
        ["tar", "-xf", "a.tar", "--to-c=sh"],
        ["tar", "-xf", "a.tar", "-Ish"],
        ["tar", "-xf", "a.tar", "--checkpoint-action=exec=sh"],
        ["tar", "-xf", "/tmp/a.tar"],
        ["find", ".", "-exec", "rm", "{}", ";"],
        ["find", ".", "-delete"],
        ["find", ".", "-name", "x", "-execdir", "sh"],
        ["find", "/", "-name", "x"],
        ["grep", "--color=/etc/passwd", "x", "a.txt"],
        ["grep", "-f", "/etc/passwd", "a.txt"],
        ["grep", "@args", "a.txt"],
        ["ls", "+x"],
        # other programs
        ["sh", "-c", "git status"],
        ["env", "git", "status"],
        ["sudo", "git", "status"],
        ["xargs", "git", "status"],
        ["/usr/bin/git", "status"],
        ["./git", "status"],
        ["sub/../git", "status"],
        ["GIT", "status"],
        ["git ", "status"],
        ["git\n", "status"],
        ["git status"],
        ["git", "Status"],
        ["git"],
        ["/opt/bin/../bin/pytest"],
        # places
        ["cat", "/etc/passwd"],
        ["cat", "../outside/secret.txt"],
        ["cat", "sub/../../outside/secret.txt"],
        ["cat", "link/secret.txt"],
        ["cat", "docs/out"],
        ["cat", "~/.ssh/id_rsa"],
        ["cat", ".env"],
        ["cat", ".git/config"],
        ["cat", "planfold.toml"],
        ["cat", "a.txt", "a.txt"],
        ["cat", "file:///etc/passwd"],
        ["cat", "a.txt\n"],
        ["cat", "a\0.txt"],
        ["ls", "x=/etc"],
        ["ls", "-l", "--"],
        ["npm", "test", "--prefix", "/tmp"],
        ["npm", "test|lint"],
        [],
    ],
)
def test_a_rule_is_not_tricked(workspace: Path, argv: list[str]) -> None:
    assert shell(workspace, *argv) == "ask"


@pytest.mark.parametrize(
    "more",
    [
        {"cwd": "sub"},
        {"cwd": "link"},
        {"cwd": ".."},
        {"cwd": 1},
        {"env": {"PATH": "sub"}},
        {"env": {"LD_PRELOAD": "x.so"}},
        {"env": {"GIT_PAGER": "sh"}},
        {"env": {"HOME": "sub"}},
        {"env": ["LANG"]},
        {"stdin": "x"},
        {"script": "rm -rf ."},
        {"shell": True},
    ],
)
def test_what_comes_with_a_command_counts(workspace: Path, more: dict[str, Any]) -> None:
    assert shell(workspace, "git", "status", **more) == "ask"


def test_a_rule_may_name_directory_variables_and_input(workspace: Path) -> None:
    rule = Rule("allow", program="wc", arguments=("-c",), cwd="su*", env=("LANG",), stdin=True)
    given = {"argv": ["wc", "-c"], "cwd": "sub", "env": {"LANG": "C"}, "stdin": "x"}
    assert decide(workspace, "shell", given, rule) == "allow"
    assert decide(workspace, "shell", given | {"cwd": "docs"}, rule) == "ask"
    assert decide(workspace, "shell", given | {"env": {"LC_ALL": "C"}}, rule) == "ask"


def test_a_program_of_the_workspace_is_another_program(workspace: Path) -> None:
    planted = workspace / "bin" / "git"
    policy = Policy(
        PolicySettings((GIT,)), WorkspacePaths(workspace), which=lambda name: str(planted)
    )
    call = Call(tool="shell", arguments={"argv": ["git", "status"]})
    assert policy.decide(call).decision == "ask"
    missing = Policy(PolicySettings((GIT,)), WorkspacePaths(workspace), which=lambda name: None)
    assert missing.decide(call).decision == "ask"
    relative = Policy(
        PolicySettings((GIT,)), WorkspacePaths(workspace), which=lambda name: "bin/git"
    )
    assert relative.decide(call).decision == "ask"


def test_a_relative_path_entry_decides_nothing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "tool").write_text("#!/bin/sh\n")
    (workspace / "tool").chmod(0o755)
    outside = workspace.parent / "outside"
    (outside / "tool").write_text("#!/bin/sh\n")
    (outside / "tool").chmod(0o755)
    policy = Policy(
        PolicySettings((Rule("allow", program="tool", arguments=()),)), WorkspacePaths(workspace)
    )
    call = Call(tool="shell", arguments={"argv": ["tool"]})
    for path, decision in (
        (str(outside), "allow"),
        (f"{outside}:.", "ask"),
        (f":{outside}", "ask"),
        (f"{workspace}:{outside}", "ask"),
        ("/nowhere", "ask"),
    ):
        monkeypatch.setenv("PATH", path)
        assert policy.decide(call).decision == decision, path


def test_a_script_matches_no_program(workspace: Path) -> None:
    assert decide(workspace, "shell", {"script": "git status"}, *SHELL_RULES) == "ask"
    everything = Rule("allow", tool="shell")
    assert decide(workspace, "shell", {"script": "git status"}, everything) == "allow"


def test_another_tool_called_shell_is_not_the_shell(workspace: Path) -> None:
    call = {"argv": ["git", "status"]}
    assert decide(workspace, "shell", call, GIT, server="evil") == "ask"
    assert decide(workspace, "read_file", {"path": "a.txt"}, server="evil") == "ask"
    assert decide(workspace, "http", {"url": "https://docs.example.org"}, server="evil") == "ask"


CURL = Rule("deny", tool="shell", program="curl")
PUSH = Rule("deny", tool="shell", program="git", arguments=("push", "..."))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"argv": ["curl", "x"]}, CURL),
        ({"argv": ["/usr/bin/curl"]}, CURL),
        ({"argv": ["CURL"]}, CURL),
        ({"argv": ["env", "A=1", "curl", "x"]}, CURL),
        ({"argv": ["sh", "-c", "true;curl x"]}, CURL),
        ({"script": 'c""url x'}, CURL),
        ({"script": "c\\url x"}, CURL),
        ({"script": "x=$(/bin/curl y)"}, CURL),
        ({"argv": ["sh"], "stdin": "curl x"}, CURL),
        ({"argv": ["git", "push"]}, PUSH),
        ({"argv": ["git", "-C", "sub", "push", "--force"]}, PUSH),
        ({"script": "cd sub && git push"}, PUSH),
    ],
)
def test_a_rule_that_denies_needs_only_a_suspicion(
    workspace: Path, arguments: dict[str, Any], rule: Rule
) -> None:
    assert decide(workspace, "shell", arguments, Rule("allow", tool="shell"), rule) == "deny"


def test_a_rule_that_denies_leaves_others_alone(workspace: Path) -> None:
    everything = Rule("allow", tool="shell")
    assert decide(workspace, "shell", {"argv": ["git", "log"]}, everything, PUSH) == "allow"
    assert decide(workspace, "shell", {"argv": ["curly"]}, everything, CURL) == "allow"
    assert decide(workspace, "shell", {"argv": ["push", "git"]}, everything, PUSH) == "allow"


# --- URLs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "decision"),
    [
        ("https://docs.example.org/a?b=c", "allow"),
        ("http://DOCS.example.org", "allow"),
        ("https://docs.example.org:443/", "allow"),
        ("https://en.wiki.org/", "allow"),
        ("http://127.0.0.1:8080/x", "allow"),
        ("https://wiki.org/", "ask"),
        ("https://evilwiki.org/", "ask"),
        ("https://docs.example.org.evil.com/", "ask"),
        ("https://docs.example.org@evil.com/", "ask"),
        ("https://evil.com/docs.example.org", "ask"),
        ("https://evil.com#docs.example.org", "ask"),
        ("https://docs.example.org:8443/", "ask"),
        ("http://127.0.0.1:8081/", "ask"),
        ("https:\\\\docs.example.org", "ask"),
        ("ftp://docs.example.org/", "ask"),
        ("https://docs.example.org\n.evil.com/", "ask"),
        (" https://docs.example.org/", "ask"),
        ("https://docs.example.org/?t=secret://TOKEN", "ask"),
        (7, "ask"),
    ],
)
def test_get_from_allowed_hosts(workspace: Path, url: Any, decision: str) -> None:
    assert decide(workspace, "http", {"url": url}) == decision


@pytest.mark.parametrize(
    ("url", "decision"),
    [
        ("https://api.example.org/v1/items?x=1", "allow"),
        ("https://api.example.org/v2/items", "ask"),
        ("https://api.example.org/v1/../admin", "ask"),
        ("https://api.example.org/v1/%2e%2e/admin", "ask"),
        ("https://api.example.org/v1/%252e%252e/admin", "ask"),
        ("https://api.example.org/v1//admin", "ask"),
        ("https://api.example.org:99/v1/x", "ask"),
    ],
)
def test_a_rule_bounds_the_path(workspace: Path, url: str, decision: str) -> None:
    assert decide(workspace, "http", {"url": url}, API) == decision


def test_a_rule_that_denies_a_host(workspace: Path) -> None:
    deny = Rule("deny", tool="http", host="*.wiki.org")
    assert decide(workspace, "http", {"url": "https://en.wiki.org/"}, deny) == "deny"
    assert decide(workspace, "http", {"url": "https://en.wiki.org:99/"}, deny) == "deny"
    assert decide(workspace, "http", {"url": "https://docs.example.org/"}, deny) == "allow"


def test_another_method_is_not_allowed_by_a_host(workspace: Path) -> None:
    call = {"url": "https://docs.example.org/", "method": "POST"}
    assert decide(workspace, "http", call) == "ask"
    rule = Rule("allow", tool="http", host="docs.example.org", method=("POST",))
    assert decide(workspace, "http", call, rule) == "allow"
    assert decide(workspace, "http", call, Rule("allow", path="**")) == "ask"  # about files


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "path", "decision"),
    [
        ("read_file", "a.txt", "allow"),
        ("list_files", ".", "allow"),
        ("read_file", "new/file", "allow"),
        ("write_file", "a.txt", "ask"),
        ("write_file", "docs/new.md", "allow"),
        ("edit_file", "docs/new.md", "allow"),
        ("read_file", "../outside/secret.txt", "ask"),
        ("read_file", "/etc/passwd", "ask"),
        ("read_file", "link/secret.txt", "ask"),
        ("read_file", "docs/out", "ask"),
        ("read_file", ".env", "ask"),
        ("read_file", "sub/.ENV", "ask"),
        ("read_file", ".ssh/id_rsa", "ask"),
        ("list_files", ".ssh", "ask"),
        ("read_file", "sub/../.env", "ask"),
        ("write_file", "docs/out", "ask"),
        ("write_file", "docs/../a.txt", "ask"),
        ("write_file", "docs/../planfold.toml", "ask"),
        ("write_file", "docs/.git/hooks/pre-commit", "ask"),
        ("read_file", "a\0.txt", "ask"),
        ("read_file", 3, "ask"),
    ],
)
def test_files(workspace: Path, tool: str, path: Any, decision: str) -> None:
    arguments = {"path": path, "content": "x"}
    assert decide(workspace, tool, arguments, DOCS) == decision


@pytest.mark.parametrize("path", ["planfold.toml", ".planfold/x", ".git/config", "PLANFOLD.toml"])
def test_no_rule_lets_a_model_write_what_steers_planfold(workspace: Path, path: str) -> None:
    everything = Rule("allow", path="**"), Rule("allow")
    found = verdict(workspace, "write_file", {"path": path, "content": ""}, *everything)
    assert found.decision == "ask"
    assert "steers" in found.reason


def test_a_folder_can_be_closed(workspace: Path) -> None:
    deny = Rule("deny", path="docs/**")
    for path in ("docs/a.md", "DOCS/a.md", "sub/../docs/a.md", "./docs/a.md"):
        assert decide(workspace, "read_file", {"path": path}, DOCS, deny) == "deny"
    assert decide(workspace, "read_file", {"path": "sub/docs"}, deny) == "allow"


def test_the_files_of_secrets_are_private(workspace: Path) -> None:
    paths = WorkspacePaths(workspace, private=[workspace / "sub" / "token"])
    policy = Policy(PolicySettings((Rule("allow", path="**"),)), paths)
    call = Call(tool="read_file", arguments={"path": "sub/token"})
    assert policy.decide(call).decision == "ask"


# --- other tools, secrets, taint, whose call it is ---------------------------------------------


def test_arguments_of_other_tools(workspace: Path) -> None:
    def city(**arguments: Any) -> str:
        return decide(workspace, "weather__now", arguments, FORECAST, server="weather")

    assert city(city="Rome", units="metric") == "allow"
    assert city(city="Rome", units="imperial") == "ask"
    assert city(city="Rome") == "ask"
    assert city(city="Rome", units="metric", callback="https://evil") == "ask"
    assert city(city="secret://TOKEN", units="metric") == "ask"


def test_secrets_need_a_rule_that_names_them(workspace: Path) -> None:
    call = {"url": "https://api.example.org/v1/x", "headers": {"X-Key": "Bearer secret://TOKEN"}}
    rule = Rule("allow", tool="http", host="api.example.org", secrets=("TOKEN",))
    assert decide(workspace, "http", call, API) == "ask"
    assert decide(workspace, "http", call, rule) == "allow"
    assert decide(workspace, "http", call | {"method": "secret://OTHER"}, rule) == "ask"
    assert decide(workspace, "http", call, rule, tainted=True) == "ask"


def test_taint(workspace: Path) -> None:
    def tainted(tool: str, arguments: dict[str, Any], *rules: Rule, server: str = "") -> str:
        return decide(workspace, tool, arguments, *rules, tainted=True, server=server)

    assert tainted("http", {"url": "https://docs.example.org/"}) == "ask"
    assert tainted("shell", {"argv": ["git", "status"]}, GIT) == "ask"
    assert tainted("x__y", {}, Rule("allow"), server="x") == "ask"
    assert tainted("function", {}, Rule("allow")) == "ask"
    assert tainted("function", {}, Rule("allow", tool="function", even_tainted=True)) == "allow"
    assert tainted("shell", {"script": "x"}, Rule("allow", even_tainted=True)) == "ask"
    assert tainted("function", {"a": "secret://T"}, Rule("allow", even_tainted=True)) == "ask"
    assert tainted("read_file", {"path": "a.txt"}) == "allow"
    assert tainted("write_file", {"path": "docs/a", "content": ""}, DOCS) == "allow"


def test_what_no_model_proposed(workspace: Path) -> None:
    def authored(*rules: Rule) -> str:
        call = {"argv": ["git", "push"]}
        return decide(workspace, "shell", call, *rules, proposed=False, tainted=True)

    assert authored() == "allow"
    assert authored(Rule("deny", tool="shell")) == "allow"
    assert authored(Rule("deny", tool="shell", holds_for="everybody")) == "deny"
    assert authored(Rule("ask", program="git", holds_for="everybody")) == "ask"


def test_the_first_rule_of_the_winning_kind_is_named(workspace: Path) -> None:
    rules = (
        Rule("allow", tool="shell"),
        Rule("ask", tool="sh*"),
        Rule("ask", tool="shell", reason="no"),
    )
    found = verdict(workspace, "shell", {"script": "x"}, *rules)
    assert (found.decision, found.rule, found.reason) == ("ask", "rule 2", "ask sh*")
    assert verdict(workspace, "shell", {"script": "x"}, rules[2]).reason == "no"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule("allow", program="git"), "say which arguments"),
        (Rule("allow", program="env", arguments=("...",)), "would allow everything"),
        (
            Rule("allow", program="/usr/bin/python3.11", arguments=("path",)),
            "would allow everything",
        ),
        (Rule("allow", program="sudo", arguments=("ls", "*")), "would allow everything"),
        (Rule("allow", program="sh", arguments=("-c", "a*")), "would allow everything"),
        (Rule("allow", program="make", options=("-*",), arguments=()), "would allow everything"),
        (Rule("allow", program="git", arguments=("*",)), "name the subcommand"),
        (Rule("allow", program="docker", arguments=("...",)), "name the subcommand"),
        (Rule("allow", program="g*", arguments=()), "must name exactly one program"),
        (Rule("allow", program="./run", arguments=()), "absolute path"),
        (Rule("allow", program="ls", arguments=("...", "x")), "at the end"),
        (Rule("allow", program="ls", arguments=(), env=("LD_PRELOAD",)), "LD_PRELOAD"),
        (Rule("allow", program="ls", arguments=(), host="x"), "does not go together"),
        (Rule("ask", options=("-x",)), "without program"),
        (Rule("ask", action=("raed",)), "raed"),
        (Rule("ask", action=("read",), host="x"), "action is about files"),
        (Rule("allow", holds_for="everybody"), "everybody"),
        (Rule("deny", even_tainted=True), "even_tainted"),
        (Rule("alow"), "decision: 'alow' is not one of allow, ask, deny"),  # type: ignore[arg-type]
        (Rule("ask", holds_for="all"), "for: 'all' is not one of everybody, models"),  # type: ignore[arg-type]
    ],
)
def test_a_rule_that_cannot_be_meant(rule: Rule, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)) as raised:
        Policy(PolicySettings((GIT, rule)))
    assert "rule 2" in str(raised.value)


def test_a_host_that_is_a_url() -> None:
    with pytest.raises(ConfigurationError, match="is not a host"):
        Policy(PolicySettings(hosts=("https://example.org",)))


def test_a_runner_word_for_word(workspace: Path) -> None:
    rule = Rule("allow", program="make", arguments=("test",))
    assert decide(workspace, "shell", {"argv": ["make", "test"]}, rule) == "allow"
    assert decide(workspace, "shell", {"argv": ["make", "test", "CC=x"]}, rule) == "ask"
