"""Addresses that are keys: whoever knows one may use it. Made and checked with a secret of the server's. Pure."""

import base64
import binascii
import hmac
import uuid

from media.errors import MediaError

_MAC_BYTES = 16


class Links:
    """Makes and reads addresses with `secret`, 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def upload_token(self, upload: uuid.UUID) -> str:
        """The last part of an upload's URL: nobody finds it who was not told."""
        return _text(upload.bytes + self._mac(b"upload", upload.bytes))

    def upload_of(self, token: str) -> uuid.UUID:
        """The upload that a token names. Raises MediaError `upload_unknown`."""
        raw = _raw(token)
        if len(raw) != 16 + _MAC_BYTES or not hmac.compare_digest(raw[16:], self._mac(b"upload", raw[:16])):
            raise MediaError("upload_unknown", "there is no upload at this address")
        return uuid.UUID(bytes=raw[:16])

    def signature(self, digest: str, picture: str, expires_ms: int) -> str:
        """What lets anybody read the blob, or the `picture` made from it, until `expires_ms` (UTC)."""
        return _text(self._mac(b"link", _link(digest, picture, expires_ms)))

    def check(self, digest: str, picture: str, expires_ms: int, signature: str, now_ms: int) -> None:
        """Raises MediaError `link_invalid` for another signature, or one too old."""
        if not hmac.compare_digest(_raw(signature), self._mac(b"link", _link(digest, picture, expires_ms))):
            raise MediaError("link_invalid", "the link was not made by this server")
        if now_ms >= expires_ms:
            raise MediaError("link_invalid", f"the link ended at {expires_ms}")

    def _mac(self, kind: bytes, message: bytes) -> bytes:
        return hmac.digest(self._secret, kind + b"\0" + message, "sha256")[:_MAC_BYTES]


def _link(digest: str, picture: str, expires_ms: int) -> bytes:
    return f"{digest} {picture} {expires_ms}".encode()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
