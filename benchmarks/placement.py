"""Simulation: plans placed on several independent servers. ``python -m benchmarks.placement``.

Plans arrive one by one and last for a while; what a plan costs a server while it lasts is heavy
tailed (log-normal), as real work is. Printed is how unevenly the servers are loaded at the same
time, and how many plans would live elsewhere after one more server was added.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Sequence
from statistics import median

PLANS = 20_000
SAMPLES_EVERY = 50
Place = Callable[[str, Sequence[float]], int]
"""Plan id and present load of every server -> the server's number."""


def score(plan_id: str, server: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{server}/{plan_id}".encode(), digest_size=8).digest())


def by_hash(plan_id: str, loads: Sequence[float]) -> int:
    """Rendezvous hashing (Thaler and Ravishankar, 1998): the id alone says where."""
    return max(range(len(loads)), key=lambda server: score(plan_id, server))


def by_two_choices(plan_id: str, loads: Sequence[float]) -> int:
    """The less loaded of the two highest scores (Mitzenmacher, 1996): two places to look."""
    ranked = sorted(range(len(loads)), key=lambda server: -score(plan_id, server))
    return min(ranked[:2], key=lambda server: loads[server])


def by_load(plan_id: str, loads: Sequence[float]) -> int:
    """The least loaded of all; it needs a record of where each plan was placed."""
    return min(range(len(loads)), key=lambda server: loads[server])


def imbalance(place: Place, servers: int, concurrent: int) -> float:
    """The median of (highest load / mean load) with about ``concurrent`` plans at a time."""
    random.seed(7)
    loads = [0.0] * servers
    running: list[tuple[float, int, float]] = []  # end, server, cost
    ratios = []
    for number in range(PLANS):
        now = float(number)
        while running and running[0][0] <= now:
            _, server, cost = heapq.heappop(running)
            loads[server] -= cost
        cost = random.lognormvariate(0, 1.0)
        server = place(f"plan-{random.getrandbits(40):010x}", loads)
        loads[server] += cost
        heapq.heappush(running, (now + random.expovariate(1 / concurrent), server, cost))
        if number > PLANS / 4 and number % SAMPLES_EVERY == 0:
            ratios.append(max(loads) / (sum(loads) / servers))
    return median(ratios)


def moved(servers: int) -> float:
    """The part of the plans for which the hash names another server after one was added."""
    names = [f"plan-{number}" for number in range(5_000)]
    return sum(
        by_hash(name, [0.0] * servers) != by_hash(name, [0.0] * (servers + 1)) for name in names
    ) / len(names)


def main() -> None:
    print("highest load / mean load, median over time")
    print("servers  plans at a time  by hash  two choices  least loaded  move for one more server")
    for servers in (2, 4, 8):
        for concurrent in (50, 1_000):
            ratios = [imbalance(p, servers, concurrent) for p in (by_hash, by_two_choices, by_load)]
            columns = "  ".join(f"{ratio:11.2f}" for ratio in ratios)
            print(f"{servers:7}  {concurrent:15}{columns}  {moved(servers):22.0%}")


if __name__ == "__main__":
    main()
