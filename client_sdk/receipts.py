"""Receipts: asking the server to sign what it holds of this device, and checking that it is what was sent."""

import base64
import binascii
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_sdk.connection import Connection
from client_sdk.errors import ReceiptInvalid, Rejected
from client_sdk.sessions import Sessions
from client_sdk.store import exchanging, receipts
from client_sdk.store.meta import KeptReceipt
from client_sdk.store.receipts import Claim
from client_sdk.store.thread import StoreThread
from sync.messages import ReceiptRequest
from sync.receipts import CHAIN_START, Receipt, chained

ISSUER = "gridwalk"
_PAGE = 5_000
_INTERVAL_MS = 3_600_000
"""Syncs by themselves ask no more often: each receipt is a request. Whoever wants to see one asks for it."""
_PERHAPS_OUTDATED = ("chain", "epoch")
"""What differs when the server was restored a moment ago, or this store was set back to an old copy."""


class Unknown(Exception):
    """The server lacks a change it had acknowledged, or judged it otherwise than is known here; that one and all
    after it wait to be sent again, and get their verdicts."""


class Receipts:
    """Asks, checks and keeps."""

    def __init__(self, store: StoreThread, connection: Connection, sessions: Sessions) -> None:
        self._store = store
        self._connection = connection
        self._sessions = sessions
        self._doubted = False

    async def due(self, now_ms: int) -> bool:
        """Whether there are verdicts no receipt speaks of, none came in the last hour, and the server gives them."""
        account = self._sessions.account
        if account is None or not account.server_key:
            return False
        claim = await self._store.run(receipts.claim, 1)
        issued_ms = claim.previous.receipt.issued_ms if claim.previous else None
        recent = issued_ms is not None and issued_ms <= now_ms < issued_ms + _INTERVAL_MS
        return bool(claim.changes) and not recent

    async def ask(self) -> Receipt:
        """A receipt for all own changes that have a verdict. Raises ReceiptInvalid, Unknown, and as `Connection`."""
        while True:
            claim = await self._store.run(receipts.claim, _PAGE)
            text = await self._asked(claim)
            if text is None:
                continue
            receipt = self._read(text)
            await self._check(receipt, claim)
            await self._store.run(receipts.keep, KeptReceipt(text, receipt))
            if len(claim.changes) < _PAGE:
                return receipt

    async def _asked(self, claim: Claim) -> str | None:
        """The server's answer, None where it is to be asked from the first change again."""
        changes = [change for change, _ in claim.changes]
        request = ReceiptRequest(changes, claim.previous.text if claim.previous else None)
        try:
            return (await self._connection.receipt(request)).receipt
        except Rejected as error:
            if error.code == "change_unknown" and changes:
                await self._store.run(exchanging.reopen_from, error.change or changes[0])
                raise Unknown from error
            if error.code != "receipt_invalid":
                raise
            if claim.previous is None:
                raise ReceiptInvalid(error.detail) from error
        await self._store.run(receipts.forget)
        return None

    def _read(self, text: str) -> Receipt:
        """The claims of a receipt that the server's key signed."""
        account = self._sessions.account
        try:
            key = Ed25519PublicKey.from_public_bytes(_raw(account.server_key if account else ""))
            claims: dict[str, Any] = jwt.decode(text, key, algorithms=["EdDSA"], issuer=ISSUER)
            return msgspec.convert(claims, Receipt)
        except (jwt.PyJWTError, msgspec.ValidationError, binascii.Error, ValueError) as error:
            raise ReceiptInvalid(f"not signed by the key the server had at the sign-in: {error}") from error

    async def _check(self, receipt: Receipt, claim: Claim) -> None:
        wrong = self._difference(receipt, claim)
        if wrong in _PERHAPS_OUTDATED and not self._doubted:
            self._doubted = True
            if claim.changes:
                await self._store.run(exchanging.reopen_from, claim.changes[0][0])
            raise Unknown
        if wrong is not None:
            raise ReceiptInvalid(f"its `{wrong}` is not that of this device's changes")

    def _difference(self, receipt: Receipt, claim: Claim) -> str | None:
        """The first claim of the receipt that is not what this device can work out itself."""
        previous = claim.previous.receipt if claim.previous else None
        expected = Receipt(
            device=self._sessions.identity.device,
            user=self._sessions.identity.user or "",
            held=(previous.held if previous else 0) + len(claim.changes),
            chain=chained(previous.chain if previous else CHAIN_START, claim.changes),
            epoch=claim.epoch or receipt.epoch,
            issued_ms=receipt.issued_ms,
        )
        names = Receipt.__struct_fields__
        return next((name for name in names if getattr(receipt, name) != getattr(expected, name)), None)


def _raw(key: str) -> bytes:
    return base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
