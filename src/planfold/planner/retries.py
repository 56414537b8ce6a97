"""How long to wait before the next attempt."""

from __future__ import annotations

from planfold.planner.tasks import RetryPolicy


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
