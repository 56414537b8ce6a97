"""Logs that real tools write when something fails, and what a reader must learn from each.

What is expected is read off the programs that are run, never off the logs: the place of a fault is
where its source says ``<here>`` (``<there>``, ``<far>`` for further ones).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = (sys.executable, "-B", "-S", "-X", "utf8")


@dataclass(frozen=True)
class Log:
    """``files`` are written to an empty folder, ``command`` runs there; ``roots`` are types and
    messages, ``places`` names of files and the markers at the lines of the faults."""

    name: str
    files: Mapping[str, str]
    command: Sequence[str]
    roots: tuple[str, ...]
    places: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False

    @property
    def missing(self) -> str:
        """The tool that is not there, or nothing."""
        return "" if shutil.which(self.command[0]) else self.command[0]

    def write(self, folder: Path) -> str:
        """Run the tool; what it wrote to both of its streams."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "GIT", "npm"))}
        done = subprocess.run(
            self.command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**kept, "LC_ALL": "C.UTF-8", "COLUMNS": "100", **self.environment},
            timeout=110,
        )
        return done.stdout.decode("utf-8", "replace")

    def lines_at_fault(self) -> list[tuple[str, int]]:
        found = []
        for name, marker in self.places:
            source = next(t for n, t in self.files.items() if n.rpartition("/")[2] == name)
            numbers = [n for n, line in enumerate(source.split("\n"), 1) if f"<{marker}>" in line]
            assert numbers, f"{self.name}: {name} has no <{marker}>"
            found.append((name, numbers[0]))
        return found

    def lost(self, short: str) -> list[str]:
        """What a reader of ``short`` does not learn."""
        lost = [root for root in self.roots if root not in short]
        for name, number in self.lines_at_fault():
            if not re.search(place_pattern(name, number), short):
                lost.append(f"{name}:{number}")
        return lost


def place_pattern(name: str, number: int) -> str:
    """However tools write it: ``a.py:3``, ``"a.py", line 3``, ``a.sh: line 3``, ``a.ts(3,1)``."""
    return rf'{re.escape(name)}(?::|(?:\\?"?,)? line |: (?:line )?|\(){number}\b'


def write_all(logs: Sequence[Log], folder: Path) -> dict[str, str]:
    """All logs whose tool is there, a few at a time, each in a folder of its own."""
    there = [log for log in logs if not log.missing]
    for log in there:
        (folder / log.name).mkdir()
    with ThreadPoolExecutor(4) as pool:
        texts = pool.map(lambda log: log.write(folder / log.name), there)
        return dict(zip((log.name for log in there), texts, strict=True))


def deep(body: str, *, depth: int = 30, noise: int = 40, name: str = "fault") -> str:
    """A program whose function ``fault`` is called through many others, after much output."""
    calls = "\n\n\n".join(
        f"def level_{i}(order):\n    checked = dict(order, level={i})\n"
        f"    return {f'level_{i - 1}' if i else name}(checked)"
        for i in range(depth)
    )
    return f"""\
import sys

{body}

{calls}

for number in range({noise}):
    print(f"step {{number}}: loaded {{number * 7}} rows from part-{{number}}.csv", flush=True)

if __name__ == "__main__":
    level_{depth - 1}({{"id": 7}})
"""


def python(name: str, source: str, *roots: str, at: str = "", **files: str) -> Log:
    """A program in ``NAME.py``; ``at`` holds markers, ``here`` or ``module.py:there``."""
    own = f"{name}.py"
    places = []
    for each in at.split():
        file, _, marker = each.rpartition(":")
        places.append((file or own, marker))
    more = {f"{key}.py": text for key, text in files.items()}
    return Log(name, {own: source, **more}, (*PYTHON, own), roots, tuple(places))


PLAIN = deep('def fault(order):\n    raise ValueError("port must be a number")  # <here>')
CHAINED = deep("""\
class ConfigError(Exception):
    pass


def read(order):
    return {}["port"]  # <here>


def fault(order):
    try:
        read(order)
    except KeyError as error:
        raise ConfigError("no port in settings.toml") from error  # <there>
""")
HANDLING = deep("""\
def fault(order):
    try:
        order["price"] / 0  # <here>
    except KeyError:
        raise RuntimeError("order 7 has no price")  # <there>
""")
THREE = deep("""\
def connect(host):
    raise ConnectionRefusedError(111, "Connection refused by db-7")  # <here>


def load(order):
    try:
        connect("db-7")
    except OSError as error:
        raise LookupError("order 7 was not found") from error  # <there>


def fault(order):
    try:
        load(order)
    except LookupError as error:
        raise SystemError("nightly run stopped") from error  # <far>
""")
GROUP = deep("""\
def one():
    raise ValueError("first part is empty")  # <here>


def two():
    raise TypeError("second part is a list")  # <there>


def three():
    raise OSError("third part is gone")  # <far>


def fault(order):
    errors = []
    for part in (one, two, three):
        try:
            part()
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("3 parts failed", errors)
""")
NESTED_GROUP = deep("""\
def inner():
    try:
        raise PermissionError("inner door is locked")  # <here>
    except OSError as error:
        raise ExceptionGroup("inner group", [error])


def fault(order):
    try:
        inner()
    except ExceptionGroup as group:
        raise ExceptionGroup("outer group", [group, KeyError("spare")])
""")
OWN_NAME = deep("""\
class PortTaken(Exception):
    pass


def fault(order):
    raise PortTaken("8080 belongs to somebody else")  # <here>
""")
IMPORTS = deep("""\
def fault(order):
    import first
""")
RECURSION = deep("""\
def fault(order):
    return again(order)


def again(order):
    return again(order)  # <here>
""")
BARE = deep("""\
def fault(order):
    assert order["id"] == 8  # <here>
""")
LONG_MESSAGE = deep("""\
def fault(order):
    raise ValueError(  # <here>
        "2 fields are wrong\\n  port: must be a number\\n  host: is missing"
    )
""")
LIBRARY = deep("""\
import json


def fault(order):
    return json.loads('{"port": 80,}')  # <here>
""")
UNICODE = deep("""\
def fault(order):
    return b"caf\\xe9".decode()  # <here>
""")
TASKS = deep("""\
import asyncio


async def fetch(number):
    await asyncio.sleep(0)
    if number % 2:
        raise TimeoutError(f"page {number} took too long")  # <here>


async def main():
    async with asyncio.TaskGroup() as tasks:
        for number in (1, 2, 3):
            tasks.create_task(fetch(number))


def fault(order):
    asyncio.run(main())
""")
NEVER_RETRIEVED = deep(
    """\
import asyncio
import gc


async def charge():
    raise ConnectionResetError("card reader went away")  # <here>


async def main():
    task = asyncio.create_task(charge())
    await asyncio.sleep(0)
    del task
    gc.collect()
    await asyncio.sleep(0)


def fault(order):
    asyncio.run(main())
    print("bye", flush=True)
""",
    noise=80,
)
THREAD = deep(
    """\
import threading


def run():
    raise BufferError("ring buffer is full")  # <here>


def fault(order):
    thread = threading.Thread(target=run, name="writer")
    thread.start()
    thread.join()
""",
    noise=80,
)
FUTURES = deep("""\
from concurrent.futures import ThreadPoolExecutor


def half(number):
    return 1 / (number - 3)  # <here>


def fault(order):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(half, range(6)))
""")
PROCESSES = deep("""\
import multiprocessing


def half(number):
    return 1 / (number - 3)  # <here>


def fault(order):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.map(half, range(6))  # <there>
""")
CALLED = deep("""\
import subprocess


def fault(order):
    subprocess.run(["sh", "-c", "echo disk is full >&2; exit 28"], check=True)  # <here>
""")
LOGGED = deep(
    """\
import logging

logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger("shop.orders")


def price(order):
    return order["price"]  # <here>


def fault(order):
    for number in range(40):
        log.info("order %d was checked, no error", number)
    try:
        price(order)
    except KeyError:
        log.exception("order 7 could not be priced")
    for number in range(40):
        log.info("order %d was checked after that", number)
""",
    noise=5,
)
JSON_LOGS = deep(
    """\
import json
import traceback


def price(order):
    return order["price"]  # <here>


def fault(order):
    for number in range(60):
        print(json.dumps({"level": "info", "msg": f"order {number} is fine", "host": "a"}))
    try:
        price(order)
    except KeyError:
        record = {"ts": "2026-03-01T10:00:00Z", "level": "error", "logger": "shop"}
        record |= {"msg": "order 7 could not be priced", "stack": traceback.format_exc()}
        print(json.dumps(record))
    for number in range(60):
        print(json.dumps({"level": "info", "msg": f"order {number} was sent", "host": "b"}))
""",
    noise=0,
)
LOGFMT = deep(
    """\
import inspect


def fault(order):
    for number in range(60):
        print(f'ts=2026-03-01T10:00:{number:02}Z level=info msg="order {number} is fine"')
    line = inspect.currentframe().f_lineno  # <here>
    print(f'level=error msg="card 7 was refused" code=E42 caller=logfmt.py:{line}')
    for number in range(60):
        print(f'ts=2026-03-01T10:01:{number:02}Z level=info msg="order {number} was sent"')
""",
    noise=0,
)
SEGFAULT = deep("""\
import faulthandler

faulthandler.enable()


def fault(order):
    faulthandler._sigsegv()  # <here>
""")
WARNINGS = deep("""\
import warnings

warnings.simplefilter("error")


def fault(order):
    warnings.warn("use port_v2 instead", DeprecationWarning)  # <here>
""")
SQL = deep("""\
import sqlite3


def fault(order):
    sqlite3.connect(":memory:").execute("SELEC 1")  # <here>
""")
USAGE = deep("""\
import argparse


def fault(order):
    usage = "\\n".join(f"shop --o{i}" for i in range(200))
    parser = argparse.ArgumentParser(prog="shop", usage=usage)
    parser.add_argument("--port", type=int)
    parser.parse_args(["--port", "eighty"])
""")
EXIT = deep(
    """\
def fault(order):
    print("Error: settings.toml: port 99999 is out of range", flush=True)
    for number in range(30):
        print(f"cleaning up {number}")
    sys.exit(3)
""",
    noise=80,
)
JAVA_LIKE = """\
at = "\\tat com.shop.web"
frames = "\\n".join(f"{at}.Filter{i}.apply(Filter{i}.java:{40 + i})" for i in range(40))
print("INFO  starting up\\n" * 20)
print('Exception in thread "main" com.shop.StartFailure: shop did not start')
print("\\tat com.shop.Main.start(Main.java:31)\\n" + frames)
print("Caused by: java.lang.IllegalStateException: pool is closed")
print("\\tat java.base/java.util.Objects.require(Objects.java:234)")
print("\\tat com.shop.db.Pool.take(Pool.java:88)\\n" + frames + "\\n\\t... 12 more")
print("Caused by: java.net.ConnectException: Connection refused (db-7:5432)")
print("\\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)")
print("\\tat com.shop.db.Wire.open(Wire.java:19)\\n" + frames + "\\n\\t... 31 more")
"""
GO_LIKE = """\
print("2026/03/01 10:00:00 listening on :8080\\n" * 60)
print("panic: runtime error: index out of range [5] with length 3\\n")
print("goroutine 1 [running]:")
print("runtime.panicIndex()\\n\\t/usr/local/go/src/runtime/panic.go:114 +0x1d")
print("main.pick(...)\\n\\t/srv/shop/pick.go:27\\n")
for i in range(40):
    print(f"main.level{i}(0xc00001{i})\\n\\t/srv/shop/level.go:{100 + i} +0x{i:x}d")
print("exit status 2")
"""
RUST_LIKE = """\
print("   Compiling shop v0.1.0 (/srv/shop)\\n" * 60)
print("thread 'main' panicked at src/pool.rs:42:17:")
print("called `Result::unwrap()` on an `Err` value: PoolClosed")
print("stack backtrace:")
for i in range(30):
    print(f"  {i}: shop::level{i}\\n             at ./src/level.rs:{60 + i}:5")
print("note: Some details are omitted, run with `RUST_BACKTRACE=full`")
"""

PYTHON_LOGS = (
    python("plain", PLAIN, "ValueError: port must be a number", at="here"),
    python("chained", CHAINED, "KeyError: 'port'", "ConfigError: no port in settings.toml",
           at="here there"),
    python("handling", HANDLING, "KeyError: 'price'", "RuntimeError: order 7 has no price",
           at="here there"),
    python("three", THREE, "ConnectionRefusedError: [Errno 111] Connection refused by db-7",
           "LookupError: order 7 was not found", "SystemError: nightly run stopped",
           at="here there far"),
    python("group", GROUP, "ExceptionGroup: 3 parts failed", "ValueError: first part is empty",
           "TypeError: second part is a list", "OSError: third part is gone", at="here there far"),
    python("nested_group", NESTED_GROUP, "outer group", "inner group", "KeyError: 'spare'",
           "PermissionError: inner door is locked", at="here"),
    python("own_name", OWN_NAME, "PortTaken: 8080 belongs to somebody else", at="here"),
    python("imports", IMPORTS, "ModuleNotFoundError: No module named 'nowhere'",
           at="second.py:here", first="import second", second="x = 1\nimport nowhere  # <here>"),
    python("circle", IMPORTS, "ImportError: cannot import name 'b'", at="second.py:here",
           first="import second\nb = 1", second="x = 1\nfrom first import b  # <here>"),
    python("bad_module", IMPORTS, "SyntaxError: invalid syntax", at="second.py:here",
           first="import second", second="x = 1\ny = = 2  # <here>"),
    python("recursion", RECURSION, "RecursionError: maximum recursion depth exceeded", at="here"),
    python("bare", BARE, "AssertionError", at="here"),
    python("long_message", LONG_MESSAGE, "ValueError: 2 fields are wrong",
           "port: must be a number", "host: is missing", at="here"),
    python("library", LIBRARY, "JSONDecodeError", "property name enclosed in double quotes",
           at="here"),
    python("unicode", UNICODE, "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9",
           at="here"),
    python("tasks", TASKS, "TimeoutError: page 1 took too long", "TimeoutError: page 3 took too",
           at="here"),
    python("never_retrieved", NEVER_RETRIEVED, "Task exception was never retrieved",
           "ConnectionResetError: card reader went away", at="here"),
    python("thread", THREAD, "BufferError: ring buffer is full", at="here"),
    python("futures", FUTURES, "ZeroDivisionError: division by zero", at="here"),
    python("processes", PROCESSES, "ZeroDivisionError: division by zero", at="here there"),
    python("called", CALLED, "CalledProcessError", "returned non-zero exit status 28",
           "disk is full", at="here"),
    python("logged", LOGGED, "order 7 could not be priced", "KeyError: 'price'", at="here"),
    python("json_logs", JSON_LOGS, "order 7 could not be priced", "KeyError: 'price'", at="here"),
    python("logfmt", LOGFMT, "card 7 was refused", "code=E42", at="here"),
    python("segfault", SEGFAULT, "Fatal Python error: Segmentation fault", at="here"),
    python("warned", WARNINGS, "DeprecationWarning: use port_v2 instead", at="here"),
    python("sql", SQL, 'sqlite3.OperationalError: near "SELEC": syntax error', at="here"),
    python("usage", USAGE, "error: argument --port: invalid int value: 'eighty'"),
    python("own_text", EXIT, "Error: settings.toml: port 99999 is out of range"),
    python("java_like", JAVA_LIKE, "com.shop.StartFailure: shop did not start", "Main.java:31",
           "java.lang.IllegalStateException: pool is closed", "Pool.java:88",
           "java.net.ConnectException: Connection refused (db-7:5432)", "Wire.java:19"),
    python("go_like", GO_LIKE, "panic: runtime error: index out of range [5] with length 3",
           "pick.go:27"),
    python("rust_like", RUST_LIKE, "src/pool.rs:42", "`Err` value: PoolClosed"),
)  # fmt: skip
