"""SQLite keeps the contract of every backend, in a file and in memory."""

from __future__ import annotations

from testbed import contracts


class TestAppending(contracts.AppendingContract):
    pass


class TestReading(contracts.ReadingContract):
    pass


class TestRecording(contracts.RecordingContract):
    pass


class TestUnreadable(contracts.UnreadableContract):
    pass


class TestClaiming(contracts.ClaimingContract):
    pass


class TestLeasing(contracts.LeasingContract):
    pass


class TestFairness(contracts.FairnessContract):
    pass


class TestSuspects(contracts.SuspectsContract):
    pass


class TestRemembering(contracts.RememberingContract):
    pass


class TestSubscribing(contracts.SubscribingContract):
    pass


class TestConsuming(contracts.ConsumingContract):
    pass


class TestFanOut(contracts.FanOutContract):
    pass


class TestOutOfOrder(contracts.OutOfOrderContract):
    pass


class TestTransferring(contracts.TransferringContract):
    pass


class TestArchiving(contracts.ArchivingContract):
    pass
