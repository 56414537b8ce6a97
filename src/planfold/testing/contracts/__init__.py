"""What every backend has to do, as test classes to subclass.

A backend's own test module defines a fixture ``backend`` that yields a :class:`Backend`, and one
subclass per contract, named ``Test...`` so that pytest collects it:

    class TestAppending(AppendingContract): ...

They need pytest and pytest-asyncio in auto mode.
"""

import pytest

pytest.register_assert_rewrite(
    "planfold.testing.contracts.appending",
    "planfold.testing.contracts.consuming",
    "planfold.testing.contracts.fairness",
    "planfold.testing.contracts.reading",
    "planfold.testing.contracts.queueing",
    "planfold.testing.contracts.recording",
    "planfold.testing.contracts.remembering",
    "planfold.testing.contracts.subscribing",
    "planfold.testing.contracts.transferring",
)

from planfold.testing.contracts.appending import AppendingContract  # noqa: E402
from planfold.testing.contracts.backend import Backend  # noqa: E402
from planfold.testing.contracts.consuming import ConsumingContract  # noqa: E402
from planfold.testing.contracts.fairness import FairnessContract, SuspectsContract  # noqa: E402
from planfold.testing.contracts.queueing import ClaimingContract, LeasingContract  # noqa: E402
from planfold.testing.contracts.reading import ReadingContract, UnreadableContract  # noqa: E402
from planfold.testing.contracts.recording import RecordingContract  # noqa: E402
from planfold.testing.contracts.remembering import RememberingContract  # noqa: E402
from planfold.testing.contracts.subscribing import (  # noqa: E402
    FanOutContract,
    OutOfOrderContract,
    SubscribingContract,
)
from planfold.testing.contracts.transferring import (  # noqa: E402
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
