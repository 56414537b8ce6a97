"""``python -m tests.simulation SEED`` lets a seed happen and prints its trace. ``FIRST-LAST`` tries
many; the first that violates an invariant is explained: with as few kinds of faults and features of
plans as still violate one, by the end of its trace and the line that repeats it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Collection
from contextlib import nullcontext

from tests.simulation.bugs import BUGS
from tests.simulation.faults import KINDS
from tests.simulation.plans import FEATURES
from tests.simulation.records import Violation
from tests.simulation.world import World

LINES = 60
CHOICES = (*KINDS, *FEATURES)


def main() -> int:
    given = _arguments()
    gc.freeze()  # what is imported stays
    gc.set_threshold(50_000, 20, 100)
    failed = [bug for bug in given.bug or [""] if _try_seeds(given, bug)]
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", help="a seed, or FIRST-LAST")
    parser.add_argument("--without", action="append", default=[], choices=CHOICES)
    parser.add_argument("--database", choices=("sqlite", "postgres"), help="else drawn by the seed")
    parser.add_argument("--bug", action="append", choices=sorted(BUGS), help="plant it first")
    parser.add_argument("--all", action="store_true", help="do not stop at the first violation")
    parser.add_argument("--explain", action="store_true", help="explain it with a planted bug too")
    parser.add_argument("--events", action="store_true", help="count the events by their types")
    parser.add_argument("--lines", type=int, default=LINES, help="of the trace")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of CPU time, at most")
    return parser.parse_args()


def _try_seeds(given: argparse.Namespace, bug: str) -> int:
    """Returns how many violated something."""
    first, _, last = given.seeds.partition("-")
    began, reached, failed = time.process_time(), 0, 0
    seen: Counter[str] = Counter()
    with BUGS[bug]() if bug else nullcontext():
        for seed in range(int(first), int(last or first) + 1):
            if time.process_time() - began > given.seconds:
                break
            reached += 1
            world, fault = happen(seed, given.without, given.database)
            seen += world.records.seen
            if fault is None:
                if not last:
                    print("\n".join(world.trace))
                continue
            failed += 1
            print(f"FAILED {seed}: {fault!r}", flush=True)
            if not given.all:
                if not bug or given.explain:
                    explain(seed, given)
                break
    if given.events:
        print(" ".join(f"{name}={count}" for name, count in seen.most_common()))
    print(f"{reached} seeds, {failed} failed, {time.process_time() - began:.1f} s of CPU {bug}")
    return failed


def happen(
    seed: int, without: Collection[str], database: str | None = None
) -> tuple[World, Exception | None]:
    world = World(seed, without, database)
    try:
        world.run()
    except Exception as fault:
        return world, fault
    return world, None


def explain(seed: int, given: argparse.Namespace) -> None:
    kept = list(given.without)
    for kind in CHOICES:
        _, fault = happen(seed, [*kept, kind], given.database)
        if isinstance(fault, Violation):
            kept.append(kind)
    world, fault = happen(seed, kept, given.database)
    if fault is not None and not isinstance(fault, Violation):
        traceback.print_exception(fault)
    print("\n".join(world.trace[-given.lines :]))
    options = "".join(f' --without "{kind}"' for kind in kept)
    options += f" --database {given.database}" if given.database else ""
    print(f"python -m tests.simulation {seed}{options}")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"  # so that sets of texts have the same order each time
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    sys.exit(main())
