"""Receipts as they travel: JSON Web Signatures (compact, EdDSA) by the server's key."""

import uuid

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.accounts.proofs import base64url, thumbprint
from server.accounts.tokens import ISSUER
from sync.errors import SyncError
from sync.receipts import Receipt

_ALGORITHM = "EdDSA"
_TYPE = "gridwalk-receipt"
_jws = jwt.PyJWS(algorithms=[_ALGORITHM])


class ReceiptClaims(msgspec.Struct, frozen=True):
    """What a signed receipt says: a Receipt, and who issued it."""

    iss: str
    device: uuid.UUID
    user: str
    held: int
    chain: str
    epoch: uuid.UUID
    issued_ms: int


class ReceiptSigner:
    """Signs and reads receipts. `public_key` is what verifies them: 32 raw bytes as base64url without padding."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key()
        raw = self._public.public_bytes_raw()
        self.public_key = base64url(raw)
        self._header = {"typ": _TYPE, "kid": thumbprint(raw)}

    def sign(self, receipt: Receipt) -> str:
        """The receipt with the server's signature."""
        claims = ReceiptClaims(ISSUER, *msgspec.structs.astuple(receipt))
        return _jws.encode(msgspec.json.encode(claims), self._key, algorithm=_ALGORITHM, headers=self._header)

    def read(self, text: str) -> Receipt:
        """A receipt this server signed. Raises SyncError `receipt_invalid`."""
        try:
            claims = msgspec.json.decode(_jws.decode(text, self._public, algorithms=[_ALGORITHM]), type=ReceiptClaims)
            header = jwt.get_unverified_header(text)
        except (jwt.PyJWTError, msgspec.DecodeError, ValueError, RecursionError) as error:
            raise SyncError("receipt_invalid", "the receipt was not signed by this server") from error
        if (header.get("typ"), claims.iss) != (_TYPE, ISSUER):
            raise SyncError("receipt_invalid", "the receipt was not signed by this server")
        return Receipt(*msgspec.structs.astuple(claims)[1:])
