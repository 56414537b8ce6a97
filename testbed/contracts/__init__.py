"""What every backend has to do, as test classes to subclass.

A backend's own test module defines a fixture ``backend`` that yields a :class:`Backend`, and one
subclass per contract, named ``Test...`` so that pytest collects it:

    class TestAppending(AppendingContract): ...

They need pytest and pytest-asyncio in auto mode.
"""

import pytest

pytest.register_assert_rewrite(
    "testbed.contracts.appending",
    "testbed.contracts.consuming",
    "testbed.contracts.fairness",
    "testbed.contracts.reading",
    "testbed.contracts.queueing",
    "testbed.contracts.recording",
    "testbed.contracts.remembering",
    "testbed.contracts.subscribing",
    "testbed.contracts.transferring",
)

from testbed.contracts.appending import AppendingContract  # noqa: E402
from testbed.contracts.backend import Backend  # noqa: E402
from testbed.contracts.consuming import ConsumingContract  # noqa: E402
from testbed.contracts.fairness import FairnessContract, SuspectsContract  # noqa: E402
from testbed.contracts.queueing import ClaimingContract, LeasingContract  # noqa: E402
from testbed.contracts.reading import ReadingContract, UnreadableContract  # noqa: E402
from testbed.contracts.recording import RecordingContract  # noqa: E402
from testbed.contracts.remembering import RememberingContract  # noqa: E402
from testbed.contracts.subscribing import (  # noqa: E402
    FanOutContract,
    OutOfOrderContract,
    SubscribingContract,
)
from testbed.contracts.transferring import (  # noqa: E402
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
