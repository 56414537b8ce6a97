"""``python -m tests.simulation SEED``: let a seed happen, and print what led to its violation.
``FIRST-LAST`` tries many."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback

from tests.simulation.faults import KINDS
from tests.simulation.records import Violation
from tests.simulation.world import World

LINES = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", help="a seed, or FIRST-LAST")
    parser.add_argument("--without", action="append", default=[], choices=KINDS)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()
    first, _, last = given.seeds.partition("-")
    began, reached, failed = time.process_time(), 0, 0
    for seed in range(int(first), int(last or first) + 1):
        if time.process_time() - began > given.seconds:
            break
        reached += 1
        world, fault = attempt(seed, given.without)
        if fault is not None:
            failed += 1
            print(f"FAILED {seed}: {fault!r}", flush=True)
            if not given.all:
                explain(seed, given.without, given.lines)
                break
    if not last and not failed:
        print("\n".join(world.trace))
    print(f"{reached} seeds, {failed} failed, {time.process_time() - began:.1f} s")
    return 1 if failed else 0


def attempt(seed: int, without: list[str]) -> tuple[World, Exception | None]:
    world = World(seed, without)
    try:
        world.run()
    except Exception as fault:
        return world, fault
    return world, None


def explain(seed: int, without: list[str], lines: int) -> None:
    """With as few kinds of faults as still violate something."""
    kept = list(without)
    for kind in KINDS:
        _, fault = attempt(seed, [*kept, kind])
        if isinstance(fault, Violation):
            kept.append(kind)
    world, fault = attempt(seed, kept)
    print("\n".join(world.trace[-lines:]))
    if not isinstance(fault, Violation):
        traceback.print_exception(fault)
    options = "".join(f' --without "{kind}"' for kind in kept)
    print(f"python -m tests.simulation {seed}{options}")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    sys.exit(main())
