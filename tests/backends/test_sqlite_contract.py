"""SQLite keeps the contract of every backend, in a file and in memory."""

from __future__ import annotations

from testbed import contracts


class TestAppend(contracts.AppendContract):
    pass


class TestQueries(contracts.QueriesContract):
    pass


class TestEventRows(contracts.EventRowsContract):
    pass


class TestUnreadableEvents(contracts.UnreadableEventsContract):
    pass


class TestClaims(contracts.ClaimsContract):
    pass


class TestLeases(contracts.LeasesContract):
    pass


class TestFairness(contracts.FairnessContract):
    pass


class TestSuspects(contracts.SuspectsContract):
    pass


class TestLimits(contracts.LimitsContract):
    pass


class TestCheckpoints(contracts.CheckpointsContract):
    pass


class TestSubscriptions(contracts.SubscriptionsContract):
    pass


class TestConsumers(contracts.ConsumersContract):
    pass


class TestFanOut(contracts.FanOutContract):
    pass


class TestOutOfOrder(contracts.OutOfOrderContract):
    pass


class TestTransfer(contracts.TransferContract):
    pass


class TestArchive(contracts.ArchiveContract):
    pass
