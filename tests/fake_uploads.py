"""Uploads in the test's own process: what a device sees of tus, and of trouble with it. Maintained code, no mock."""

import base64
import hashlib
import json
from collections import deque

import httpx
import msgspec


class FakeUpload(msgspec.Struct):
    """One upload: the bytes held so far of `length`, and the digest that was announced."""

    length: int
    digest: str
    name: str
    held: bytes = b""


class FakeUploads:
    """Uploads by their address, and the whole files by digest. `faults` are taken one a request to an address.

    `cut N`: the connection breaks once N bytes of the chunk have come; `lost`: it breaks after all is done; `gone`:
    the upload has expired; a number with a code: that answer. `away`: what is held cannot be looked for.
    `spoiled`: something on the way changes bytes, so that no whole file is what its digest says.
    """

    def __init__(self) -> None:
        self.open: dict[str, FakeUpload] = {}
        self.blobs: dict[str, bytes] = {}
        self.order: list[str] = []
        self.chunks: list[int] = []
        self.faults: deque[str] = deque()
        self.refusals: deque[str] = deque()
        self.away = False
        self.spoiled = False
        self._count = 0

    def create(self, request: httpx.Request) -> httpx.Response:
        """Answer a creation."""
        if self.refusals and (fault := self.refusals.popleft()):
            return _problem(fault)
        values = dict(pair.split(" ") for pair in request.headers["upload-metadata"].split(","))
        said = {key: base64.b64decode(value).decode() for key, value in values.items()}
        (digest,) = (f"{name}:{said[name]}" for name in ("sha256", "sm3") if name in said)
        if self.away and "freed" in said:
            return _problem("503 storage_unavailable 30")
        self._count += 1
        address = f"/v1/uploads/{self._count}"
        length = int(request.headers["upload-length"])
        upload = FakeUpload(length, digest, said.get("filename", ""), self.blobs.get(digest, b""))
        self.open[address] = upload
        return httpx.Response(201, headers={"location": address, "upload-offset": str(len(upload.held))})

    def at(self, request: httpx.Request) -> httpx.Response:
        """Answer a request to an upload's address."""
        fault = self.faults.popleft() if self.faults else ""
        if fault == "gone":
            self.open.pop(request.url.path, None)
        elif fault[:3].isdigit():
            return _problem(fault)
        upload = self.open.get(request.url.path)
        if upload is None:
            return _problem("410 upload_gone")
        answer = self._answer(request, upload, int(fault[4:]) if fault.startswith("cut") else None)
        if fault == "lost" or answer is None:
            raise httpx.ReadError("the network broke")
        return answer

    def _answer(self, request: httpx.Request, upload: FakeUpload, room: int | None) -> httpx.Response | None:
        if request.method == "PATCH":
            if int(request.headers["upload-offset"]) != len(upload.held):
                return _problem("409 offset_mismatch")
            assert len(request.content) == int(request.headers["content-length"])
            upload.held += request.content if room is None else request.content[:room]
            if self.spoiled and len(upload.held) == upload.length:
                del self.open[request.url.path]
                return _problem("422 digest_mismatch")
            self._finish(upload)
            if room is not None:
                return None
            self.chunks.append(len(request.content))
        elif room is not None:
            return None
        if request.method == "GET":
            return httpx.Response(200, content=json.dumps(self._status(upload)).encode())
        return httpx.Response(204, headers={"upload-offset": str(len(upload.held))})

    def _finish(self, upload: FakeUpload) -> None:
        if len(upload.held) == upload.length:
            algorithm, _, hexadecimal = upload.digest.partition(":")
            assert hashlib.new(algorithm, upload.held).hexdigest() == hexadecimal
            if upload.digest not in self.blobs:
                self.order.append(upload.name)
            self.blobs[upload.digest] = upload.held

    def _status(self, upload: FakeUpload) -> dict[str, object]:
        whole = len(upload.held) == upload.length
        return {"state": "complete", "offset": upload.length, "digest": upload.digest} if whole else {
            "state": "open", "offset": len(upload.held)
        }  # fmt: skip


def _problem(fault: str) -> httpx.Response:
    """A fault in words: status, code, and perhaps the seconds after which to come back."""
    status, code, *after = fault.split()
    headers = {"content-type": "application/problem+json", **({"retry-after": after[0]} if after else {})}
    return httpx.Response(int(status), content=json.dumps({"code": code, "detail": "here"}).encode(), headers=headers)
