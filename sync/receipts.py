"""Receipts: the server's word that it holds a device's changes 1 to n, each with its verdict.

A receipt continues the one before it by a chain of SHA-256 over change ids and outcomes, so one signature vouches for
everything since the device's first change. The server keeps nothing for it but the change log.
"""

import hashlib
import uuid
from collections.abc import Iterable

import msgspec

from sync.authority import Actor
from sync.errors import ChangeUnknown, SyncError
from sync.messages import Outcome
from sync.storage import ReadTransaction

CHAIN_START = hashlib.sha256(b"gridwalk receipt").hexdigest()


class Receipt(msgspec.Struct, frozen=True):
    """The server with contents `epoch` holds `held` changes of `user`'s `device`; their chain ends in `chain`."""

    device: uuid.UUID
    user: str
    held: int
    chain: str
    epoch: uuid.UUID
    issued_ms: int


def chained(chain: str, changes: Iterable[tuple[uuid.UUID, Outcome]]) -> str:
    """The chain (64 hex digits) after these changes, in the device's order."""
    for change, outcome in changes:
        chain = hashlib.sha256(bytes.fromhex(chain) + change.bytes + outcome.encode()).hexdigest()
    return chain


async def receipt(
    tx: ReadTransaction, actor: Actor, previous: Receipt | None, changes: list[uuid.UUID], now_ms: int
) -> Receipt:
    """A receipt for `changes`, after those of `previous`.

    Raises SyncError `parameter_invalid` when a change is named twice, ChangeUnknown when the log lacks one of them
    or has it from somebody else, `receipt_invalid` when `previous` is another device's or of other contents.
    """
    epoch = await tx.epoch()
    if previous and (previous.device, previous.epoch) != (actor.device, epoch):
        raise SyncError("receipt_invalid", "the receipt to go on from is of another device or other contents")
    if len(set(changes)) < len(changes):
        raise SyncError("parameter_invalid", "a change is named twice")
    logged = await tx.changes(changes)
    for change in changes:
        if change not in logged or logged[change].user != actor.user:
            raise ChangeUnknown(change, actor.user)
    chain = chained(previous.chain if previous else CHAIN_START, ((one, logged[one].outcome) for one in changes))
    held = (previous.held if previous else 0) + len(changes)
    return Receipt(actor.device, actor.user, held, chain, epoch, now_ms)
