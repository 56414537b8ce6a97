"""Logs of compilers, test runners, shells, version control and package managers."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from real_logs import PYTHON, Log

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def shell(
    name: str,
    script: str,
    *roots: str,
    places: tuple[tuple[str, str], ...] = (),
    files: Mapping[str, str] | None = None,
    flags: str = "",
) -> Log:
    command = ("sh", *flags.split(), "run.sh")
    return Log(name, {"run.sh": script, **(files or {})}, command, roots, places)


TESTS = """\
import pytest


@pytest.fixture
def order():
    return {"id": 7, "lines": [{"sku": f"part-{i}", "count": i} for i in range(40)]}


def price(order):
    return order["price"]  # <here>


@pytest.mark.parametrize("number", range(60))
def test_is_fine(number):
    assert number < 60


def test_price(order):
    assert price(order) == 3


def test_total(order):
    total = sum(line["count"] for line in order["lines"])
    assert total == 781  # <there>
"""
UNITS = """\
import unittest


class Orders(unittest.TestCase):
    def test_total(self):
        self.assertEqual(sum(range(5)), 11)  # <here>

    def test_port(self):
        int("eighty")  # <there>


for number in range(60):
    setattr(Orders, f"test_fine_{number}", lambda self: None)

if __name__ == "__main__":
    unittest.main(verbosity=2)
"""
EXAMPLES = '''\
def square(number):
    """
    >>> square(2)
    4
    >>> square(3)  # <here>
    8
    """
    return number * number
''' + "".join(f'\n\ndef f{i}():\n    """\n    >>> f{i}()\n    """\n' for i in range(40))
WARNED = "\n".join(f"int unused_{i}(int a) {{ int b; return a == a; }}" for i in range(30))
C_ERRORS = f"""\
#include <stdio.h>
{WARNED}
int main(void) {{
    printf("%d", undeclared_thing);  // <here>
    struct nothing thing;  // <there>
    return 0;
}}
"""
C_LINK = f"""\
int missing_symbol(int);
{WARNED}
int main(void) {{
    return missing_symbol(3);  // <here>
}}
"""
NODE = """\
class ConfigError extends Error {}

function load() {
  try {
    JSON.parse("{port: 80}");
  } catch (cause) {
    throw new ConfigError("settings.json cannot be read", { cause }); // <here>
  }
}
for (let i = 0; i < 120; i++) console.log(`step ${i}: loaded ${i * 7} rows`);
let call = load;
for (let i = 0; i < 30; i++) { const next = call; call = () => next(); }
call();
"""
NODE_TYPE = """\
for (let i = 0; i < 120; i++) console.log(`step ${i}: loaded ${i * 7} rows`);
const order = { id: 7 };
function price() {
  return order.price.cents; // <here>
}
Promise.resolve().then(price);
"""
NODE_SYNTAX = "x = 1;\nfunction f( {\n" + "\n".join(f"// {i}" for i in range(3))
TRACE = "\n".join(f"value_{i}=$((1 + {i})); : loaded $value_{i}" for i in range(130))
SH_TRACE = f"{TRACE}\ncat /nowhere/settings.toml\n{TRACE}\n"
SH_UNKNOWN = f"{TRACE}\ndeploy-everything --now  # <here>\nexit 9\n"
SH_UNSET = f'set -u\n{TRACE}\necho "$TARGET_HOST"  # <here>\n'
SH_SYNTAX = f"{TRACE}\nfor x in a b; do\n  : $x\nfi  # <here>\n"
MAKE = """\
all: {steps} broken

step-%:
\t@echo building part $* of the shop with all its options and flags
broken:
\techo "linker ran out of memory" >&2; exit 3  # <here>
""".format(steps=" ".join(f"step-{i}" for i in range(70)))
MAKE_NO_RULE = MAKE.replace("broken:", "broken: parts/seven.o")
MAKE_BAD = "\n".join(f"$(info reading part {i} of the rules for the whole shop)" for i in range(80))
MAKE_BAD += "\nall:\n    echo spaces  # <here>\n"
REPOSITORY = """\
set -e
git init -q -b main . && git config user.email a@b.c && git config user.name a
mkdir parts
for i in 0 1 2 3 4 5 6 7 8 9; do for j in 0 1 2 3 4 5 6; do
  echo one > parts/part-with-a-long-name-$i$j.txt; done; done
echo "colour = blue" > settings.toml
git add -A && git commit -qm one
set +e
"""
GIT_CONFLICT = f"""{REPOSITORY}
git checkout -qb other && echo "colour = red" > settings.toml && rm parts/*0.txt
git commit -qam red && git checkout -q main && echo "colour = green" > settings.toml
git commit -qam green && export GIT_TRACE=1
git ls-files -s; git merge other
"""
GIT_PATHSPEC = f"""{REPOSITORY}
export GIT_TRACE=1 GIT_TRACE_SETUP=1
git ls-files parts
git checkout nowhere
"""
GIT_REJECTED = f"""{REPOSITORY}
git clone -q --bare . ../far.git && git clone -q ../far.git ../near && cd ../near
git config user.email a@b.c && git config user.name a
git commit -q --allow-empty -m near && git push -q
cd - >/dev/null && git remote add far ../far.git
git commit -q --allow-empty -m here && export GIT_TRACE=1 GIT_TRACE_PACKET=1
git ls-files; git push far main
"""
GIT_APPLY = f"""{REPOSITORY}
printf -- '--- a/settings.toml\\n+++ b/settings.toml\\n@@ -1 +1 @@\\n' > p
printf -- '-colour = black\\n+colour = white\\n' >> p
git ls-files -s; GIT_TRACE=1 git apply --verbose p
"""
TAR = f"""{REPOSITORY}
git ls-files; tar -cvf all.tar parts nowhere.txt
"""
TAR_BROKEN = f"""{REPOSITORY}
git ls-files -s
head -c 3000 /dev/zero | tr '\\0' 'x' > bad.tgz
tar -xzf bad.tgz
"""
COPY = f"{REPOSITORY}\ncp -v parts/* /nowhere/at/all/ ; cp -v parts/* . ; mv -v gone.txt here.txt\n"
COMPILEALL = {f"shop/{n}_{i}.py": "x = 1\n" for n in NAMES for i in range(12)}
COMPILEALL |= {
    "shop/broken.py": "x = 1\n\ndef f(:  # <here>\n    pass\n",
    "shop/tabs.py": "def f():\n    x = 1\n  y = 2  # <here>\n",
}
NPM_STEPS = ", ".join(f'"step-{i}": "node step.js --part {i} --verbose"' for i in range(40))
NPM = f'{{"name": "shop", "version": "1.0.0", "scripts": {{"build": "node main.js", {NPM_STEPS}}}}}'
RUFF = "import os\n\n\ndef f(order):\n    return ordr  # <here>\n"
MYPY = "\n".join(f"def f{i}(x: int) -> int:\n    return x" for i in range(40))
MYPY += '\n\ndef port() -> int:\n    return "eighty"  # <here>\n\n\nf3("x")  # <there>\n'
JAVA = """\
public class Main {
    static void open() {
        throw new IllegalStateException("pool is closed");  // <here>
    }
    static void start(int depth) {
        if (depth > 0) { start(depth - 1); return; }
        try { open(); }
        catch (RuntimeException cause) {
            throw new RuntimeException("shop did not start", cause);  // <there>
        }
    }
    public static void main(String[] args) {
        for (int i = 0; i < 90; i++) System.out.println("step " + i + ": loaded rows of part");
        start(30);
    }
}
"""
GO = """\
package main

import "fmt"

func pick(parts []int, at int) int {
	return parts[at] // <here>
}

func main() {
	for i := 0; i < 120; i++ {
		fmt.Printf("step %d: loaded %d rows\\n", i, i*7)
	}
	fmt.Println(pick([]int{1, 2, 3}, 5))
}
"""
RUST = (
    "\n".join(f"fn unused_{i}() {{ let b{i} = 1; }}" for i in range(20))
    + """
fn main() {
    let port: u16 = "eighty"; // <here>
    println!("{}", port);
}
"""
)

PYTEST = (sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-c", "none.ini")

TOOL_LOGS = (
    Log("pytest", {"test_shop.py": TESTS, "none.ini": ""}, (*PYTEST, "-v", "test_shop.py"),
        ("KeyError: 'price'", "assert 780 == 781"),
        (("test_shop.py", "here"), ("test_shop.py", "there")),
        {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}),
    Log("unittest", {"test_units.py": UNITS}, (*PYTHON, "test_units.py"),
        ("AssertionError: 10 != 11", "ValueError: invalid literal for int() with base 10"),
        (("test_units.py", "here"), ("test_units.py", "there"))),
    Log("doctest", {"shop.py": EXAMPLES}, (*PYTHON, "-m", "doctest", "-v", "shop.py"),
        ("Failed example:", "square(3)", "Expected:", "    8", "Got:", "    9"),
        (("shop.py", "here"),)),
    Log("compileall", COMPILEALL, (*PYTHON, "-m", "compileall", "shop"),
        ("SyntaxError", "IndentationError: unindent does not match"),
        (("broken.py", "here"), ("tabs.py", "here"))),
    shell("sh_trace", SH_TRACE, "/nowhere/settings.toml", "No such file or directory", flags="-x"),
    shell("sh_unknown", SH_UNKNOWN, "deploy-everything", "not found",
          places=(("run.sh", "here"),), flags="-x"),
    shell("sh_unset", SH_UNSET, "TARGET_HOST", places=(("run.sh", "here"),), flags="-x"),
    shell("sh_syntax", SH_SYNTAX, "fi", "unexpected", places=(("run.sh", "here"),), flags="-v"),
    Log("make", {"Makefile": MAKE}, ("make",), ("linker ran out of memory", "Error 3"),
        (("Makefile", "here"),)),
    Log("make_rule", {"Makefile": MAKE_NO_RULE}, ("make", "--debug=b"),
        ("No rule to make target 'parts/seven.o', needed by 'broken'",)),
    Log("make_bad", {"Makefile": MAKE_BAD}, ("make",), ("missing separator",),
        (("Makefile", "here"),)),
    shell("git_conflict", GIT_CONFLICT, "CONFLICT (content): Merge conflict in settings.toml"),
    shell("git_pathspec", GIT_PATHSPEC, "error: pathspec 'nowhere' did not match any file"),
    shell("git_rejected", GIT_REJECTED, "! [rejected]", "error: failed to push some refs"),
    shell("git_apply", GIT_APPLY, "error: patch failed: settings.toml:1",
          "error: settings.toml: patch does not apply"),
    shell("tar", TAR, "nowhere.txt", "No such file or directory"),
    shell("tar_broken", TAR_BROKEN, "not in gzip format"),
    shell("copy", COPY, "/nowhere/at/all/", "cannot stat 'gone.txt'"),
    Log("ruff", {f"{n}_{i}.py": f"x_{i} = 1\n" for n in NAMES for i in range(9)} | {"bad.py": RUFF},
        (sys.executable, "-m", "ruff", "check", "-v", "--no-cache", "--isolated", "--output-format",
         "concise", "."), ("F401", "F821 Undefined name `ordr`"), (("bad.py", "here"),)),
    Log("gcc", {"a.c": C_ERRORS}, ("gcc", "-Wall", "-Wextra", "-c", "a.c"),
        ("error: 'undeclared_thing' undeclared", "error: storage size of 'thing' isn't known"),
        (("a.c", "here"), ("a.c", "there")), {"LC_ALL": "C"}),
    Log("ld", {"a.c": C_LINK}, ("gcc", "-g", "-Wall", "-Wextra", "a.c", "-o", "a"),
        ("undefined reference to `missing_symbol'",), (("a.c", "here"),), {"LC_ALL": "C"}),
    Log("node", {"main.js": NODE}, ("node", "--stack-trace-limit=40", "main.js"),
        ("settings.json cannot be read", "SyntaxError: "), (("main.js", "here"),)),
    Log("node_type", {"main.js": NODE_TYPE}, ("node", "main.js"),
        ("TypeError: Cannot read properties of undefined (reading 'cents')",),
        (("main.js", "here"),)),
    Log("npm", {"package.json": NPM, "main.js": NODE_TYPE}, ("npm", "run", "build"),
        ("TypeError: Cannot read properties of undefined (reading 'cents')",),
        (("main.js", "here"),), slow=True),
    Log("npm_missing", {"package.json": NPM},
        ("sh", "-c", "npm run; npm run deploy --loglevel silly"),
        ('Missing script: "deploy"',), slow=True),
    Log("mypy", {"a.py": MYPY}, (sys.executable, "-m", "mypy", "-v", "--no-incremental", "a.py"),
        ("error: Incompatible return value type", 'error: Argument 1 to "f3"'),
        (("a.py", "here"), ("a.py", "there")), slow=True),
    Log("pip", {}, (sys.executable, "-m", "pip", "install", "-vvv", "--no-index", "nowhere-at-all"),
        ("ERROR: No matching distribution found for nowhere-at-all",), slow=True),
    Log("java", {"Main.java": JAVA}, ("java", "Main.java"),
        ("RuntimeException: shop did not start", "IllegalStateException: pool is closed"),
        (("Main.java", "here"), ("Main.java", "there")), slow=True),
    Log("go", {"main.go": GO}, ("go", "run", "main.go"),
        ("panic: runtime error: index out of range [5] with length 3",),
        (("main.go", "here"),), {"GOFLAGS": "-mod=mod"}, slow=True),
    Log("rustc", {"main.rs": RUST}, ("rustc", "main.rs"),
        ("error[E0308]: mismatched types",), (("main.rs", "here"),), slow=True),
)  # fmt: skip
