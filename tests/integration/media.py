"""Photos, and uploads of them by hand: every header as the test wants it."""

import base64
import hashlib
import os
from typing import Any

import httpx

from tests.integration.http_server import Phone

CHUNK = "application/offset+octet-stream"
TUS = {"Tus-Resumable": "1.0.0"}


def photo(size: int = 1_000) -> bytes:
    """Bytes that begin as a JPEG does, other ones each time."""
    return b"\xff\xd8\xff\xe0" + os.urandom(size - 4)


def digest_of(content: bytes) -> str:
    """As records name it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def metadata(**values: str) -> str:
    """An Upload-Metadata header."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def sha256_of(content: bytes) -> str:
    """An Upload-Checksum header."""
    return f"sha256 {base64.b64encode(hashlib.sha256(content).digest()).decode()}"


def media_ref(content: bytes) -> dict[str, Any]:
    """How a record names it."""
    return {"digest": digest_of(content), "size": len(content), "media_type": "image/jpeg"}


def create(phone: Phone, length: int | None = 1_000, **headers: str) -> httpx.Response:
    """Ask for an upload; underscores in names of headers stand for dashes."""
    sent = TUS | ({} if length is None else {"Upload-Length": str(length)})
    return phone.call("POST", "/v1/uploads", headers=sent | {k.replace("_", "-"): v for k, v in headers.items()})


class Sent:
    """An upload, from its creation on."""

    def __init__(self, phone: Phone, length: int | None = 1_000, **headers: str) -> None:
        answer = create(phone, length, **headers)
        assert answer.status_code == 201, answer.text
        self.client = phone.server.client
        self.url = answer.headers["location"]

    def patch(self, offset: int, content: Any, **headers: str) -> httpx.Response:
        """Send a chunk; an empty header is left out."""
        sent = TUS | {"Upload-Offset": str(offset), "Content-Type": CHUNK}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.patch(
            self.url, content=content, headers={name: value for name, value in sent.items() if value}
        )

    def head(self) -> httpx.Response:
        """Ask where it stands."""
        return self.client.head(self.url, headers=TUS)

    @property
    def offset(self) -> int:
        """The bytes held."""
        return int(self.head().headers["upload-offset"])

    def status(self) -> dict[str, Any]:
        """What the server says of it."""
        found: dict[str, Any] = self.client.get(self.url).json()
        return found


def send(phone: Phone, content: bytes, **values: str) -> Sent:
    """Upload all at once."""
    sent = Sent(phone, len(content), Upload_Metadata=metadata(**values))
    answer = sent.patch(0, content)
    assert answer.status_code == 204, answer.text
    return sent
