"""What every backend has to do, as test classes to subclass.

A backend's own test module defines a fixture ``backend`` that yields a :class:`Backend`, and one
subclass per contract, named ``Test...`` so that pytest collects it:

    class TestAppending(AppendingContract): ...

They need pytest and pytest-asyncio in auto mode.
"""

import pytest

pytest.register_assert_rewrite(
    "testbed.contracts.append",
    "testbed.contracts.consumers",
    "testbed.contracts.fairness",
    "testbed.contracts.queries",
    "testbed.contracts.queue",
    "testbed.contracts.event_rows",
    "testbed.contracts.checkpoints",
    "testbed.contracts.subscriptions",
    "testbed.contracts.transfer",
)

from testbed.contracts.append import AppendingContract  # noqa: E402
from testbed.contracts.backend import Backend  # noqa: E402
from testbed.contracts.checkpoints import RememberingContract  # noqa: E402
from testbed.contracts.consumers import ConsumingContract  # noqa: E402
from testbed.contracts.event_rows import RecordingContract  # noqa: E402
from testbed.contracts.fairness import FairnessContract, SuspectsContract  # noqa: E402
from testbed.contracts.queries import ReadingContract, UnreadableContract  # noqa: E402
from testbed.contracts.queue import ClaimingContract, LeasingContract  # noqa: E402
from testbed.contracts.subscriptions import (  # noqa: E402
    FanOutContract,
    OutOfOrderContract,
    SubscribingContract,
)
from testbed.contracts.transfer import (  # noqa: E402
    ArchivingContract,
    TransferringContract,
)

__all__ = [
    "AppendingContract",
    "ArchivingContract",
    "Backend",
    "ClaimingContract",
    "ConsumingContract",
    "FairnessContract",
    "FanOutContract",
    "LeasingContract",
    "OutOfOrderContract",
    "ReadingContract",
    "RecordingContract",
    "RememberingContract",
    "SubscribingContract",
    "SuspectsContract",
    "TransferringContract",
    "UnreadableContract",
]
