"""How often something is tried, and how long to wait before the next attempt."""

from __future__ import annotations

import msgspec


class RetryPolicy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Exponential backoff with full jitter.

    Before attempt ``n + 1`` planfold waits between 0 and ``min(cap, base * factor ** (n - 1))``
    seconds. ``attempts`` counts all tries, the first one included.

    Example:
        from planfold import RetryPolicy

        policy = RetryPolicy(attempts=4, base=1.0, factor=2.0, cap=30.0)  # 1 s, 2 s, 4 s
    """

    attempts: int = 1
    base: float = 1.0
    factor: float = 2.0
    cap: float = 60.0


def retry_delay(policy: RetryPolicy, failures: int, jitter: float) -> float:
    """Seconds to wait after the ``failures``-th failure (from 1): exponential backoff with full
    jitter, ``jitter`` in [0, 1).

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    exponent = min(failures - 1, 1_000)  # keeps factor ** exponent from overflowing at sane factors
    try:
        bound = policy.base * policy.factor**exponent
    except OverflowError:
        bound = policy.cap
    return jitter * min(policy.cap, bound)
