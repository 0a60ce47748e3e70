"""Which of the device's own changes a receipt is to be asked for, and the receipts that were checked."""

import uuid

import msgspec

from client_sdk.store.meta import KeptReceipt
from client_sdk.store.thread import Tables
from sync.messages import Outcome


class Claim(msgspec.Struct, frozen=True):
    """Own changes with their verdicts, after those of the receipt `previous`, of the server's contents `epoch`."""

    previous: KeptReceipt | None
    changes: list[tuple[uuid.UUID, Outcome]]
    epoch: uuid.UUID | None


def claim(tables: Tables, limit: int) -> Claim:
    """The next changes to ask a receipt for, at most `limit`."""
    previous = tables.meta.receipt
    held = previous.receipt.held if previous else 0
    return Claim(previous, tables.outbox.settled(held, limit), tables.meta.progressed.epoch)


def keep(tables: Tables, kept: KeptReceipt) -> None:
    """Keep a receipt that was checked, unless the store has passed to another device meanwhile."""
    identity = tables.meta.identity
    if identity is not None and identity.device == kept.receipt.device:
        tables.meta.receipt = kept


def forget(tables: Tables) -> None:
    """Begin with the first change again."""
    tables.meta.receipt = None
