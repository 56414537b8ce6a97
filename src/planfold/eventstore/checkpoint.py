"""``Checkpoint``: a place in one store's log, to be kept anywhere and checked before it is used."""

from __future__ import annotations

import re
from typing import Self

import msgspec

from planfold.errors import ConfigurationError
from planfold.patterns import pattern

_TEXT = pattern(r"([^:\s]+):([0-9]{1,18}):([0-9]{1,18})", re.ASCII)


class Checkpoint(msgspec.Struct, frozen=True):
    """Everything up to ``position`` was handled, in the store with this id.

    ``epoch`` is the store's: it rises when the store is restored from a backup, after which a
    position may belong to a different event. ``str(checkpoint)`` is its text form, for files and
    for other databases.

    Example:
        from planfold.log import Checkpoint

        checkpoint = Checkpoint("store-7", 1, 4_711)
        assert Checkpoint.parse(str(checkpoint)) == checkpoint
    """

    store_id: str
    epoch: int
    position: int

    def __str__(self) -> str:
        return f"{self.store_id}:{self.epoch}:{self.position}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """A checkpoint from its text form. Raises ConfigurationError for any other text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ConfigurationError(f"{text[:80]!r} is not a checkpoint (store:epoch:position)")
        return cls(found[1], int(found[2]), int(found[3]))


def require_same_store(
    checkpoint: Checkpoint,
    store_id: str,
    epoch: int,
    last_position: int,
    *,
    whose: str,
    remedy: str,
) -> None:
    """Check whether a reader may continue from a checkpoint in the store with this identity.

    Raises:
        ConfigurationError: it may not, because it could skip events; the message ends with
            ``remedy``.
    """
    if checkpoint.store_id != store_id:
        raise ConfigurationError(
            f"{whose} belongs to another store ({checkpoint.store_id}, this one is {store_id}): "
            f"open the database that it was made for; or {remedy}"
        )
    if checkpoint.epoch != epoch:
        raise ConfigurationError(
            f"{whose} is of epoch {checkpoint.epoch}, the store of epoch {epoch}: the store was "
            f"restored from a backup and may lack events that were handled; {remedy}"
        )
    if checkpoint.position > last_position:
        raise ConfigurationError(
            f"{whose} is at position {checkpoint.position}, but the log ends at {last_position}: "
            "the store was restored from a backup and lacks events that were handled; raise "
            f"the store's epoch, then {remedy}"
        ).about("restored")
