"""The key by which all server processes sign receipts."""

import base64
import random

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.receipts import ISSUER
from sync.errors import SyncError
from sync.receipts import Receipt


class Signer:
    """Signs receipts, and reads those it signed."""

    def __init__(self, rng: random.Random) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        raw = self._private.public_key().public_bytes_raw()
        self.public_key = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def sign(self, receipt: Receipt) -> str:
        """The receipt as a JSON Web Signature."""
        return jwt.encode(msgspec.to_builtins(receipt) | {"iss": ISSUER}, self._private, algorithm="EdDSA")

    def read(self, text: str | None) -> Receipt | None:
        """A receipt signed here; None for None. Raises SyncError `receipt_invalid`."""
        if text is None:
            return None
        try:
            claims = jwt.decode(text, self._private.public_key(), algorithms=["EdDSA"], issuer=ISSUER)
        except jwt.InvalidTokenError as error:
            raise SyncError("receipt_invalid", "the receipt was not signed here") from error
        return msgspec.convert(claims, Receipt)
