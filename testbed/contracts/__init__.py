"""What every backend has to do, as test classes to subclass.

A backend's own test module defines a fixture ``backend`` that yields a :class:`Backend`, and one
subclass per contract, named ``Test...`` so that pytest collects it:

    class TestAppend(AppendContract): ...

They need pytest and pytest-asyncio in auto mode.
"""

import pytest

pytest.register_assert_rewrite(
    "testbed.contracts.append",
    "testbed.contracts.consumers",
    "testbed.contracts.fairness",
    "testbed.contracts.limits",
    "testbed.contracts.queries",
    "testbed.contracts.queue",
    "testbed.contracts.event_rows",
    "testbed.contracts.checkpoints",
    "testbed.contracts.subscriptions",
    "testbed.contracts.transfer",
)

from testbed.contracts.append import AppendContract  # noqa: E402
from testbed.contracts.backend import Backend  # noqa: E402
from testbed.contracts.checkpoints import CheckpointsContract  # noqa: E402
from testbed.contracts.consumers import ConsumersContract  # noqa: E402
from testbed.contracts.event_rows import EventRowsContract  # noqa: E402
from testbed.contracts.fairness import FairnessContract, SuspectsContract  # noqa: E402
from testbed.contracts.limits import LimitsContract  # noqa: E402
from testbed.contracts.queries import QueriesContract, UnreadableEventsContract  # noqa: E402
from testbed.contracts.queue import ClaimsContract, LeasesContract  # noqa: E402
from testbed.contracts.subscriptions import (  # noqa: E402
    FanOutContract,
    OutOfOrderContract,
    SubscriptionsContract,
)
from testbed.contracts.transfer import (  # noqa: E402
    ArchiveContract,
    TransferContract,
)

__all__ = [
    "AppendContract",
    "ArchiveContract",
    "Backend",
    "CheckpointsContract",
    "ClaimsContract",
    "ConsumersContract",
    "EventRowsContract",
    "FairnessContract",
    "FanOutContract",
    "LeasesContract",
    "LimitsContract",
    "OutOfOrderContract",
    "QueriesContract",
    "SubscriptionsContract",
    "SuspectsContract",
    "TransferContract",
    "UnreadableEventsContract",
]
