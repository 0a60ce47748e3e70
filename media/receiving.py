"""Taking a chunk's bytes: written and hashed in a thread as they arrive, on disk before they are acknowledged.

While one batch is written, the next gathers; so the event loop never waits for a disk, and 50 uploads at once hold
two batches each.
"""

import asyncio
import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from field_schemas.media import DigestName
from media.errors import AtOffset, MediaError
from media.spool import TURN_CHECK_S, Spool
from media.turns import Turn
from media.tus import Checksum
from media.uploads import Admission, Arrival, held_after

T = TypeVar("T")
Piece = tuple[bytes, bool]
"""Some bytes of a body, and whether more will come."""
Body = Callable[[], Awaitable[Piece]]
"""Gives a request's body piece by piece. Raises BrokenOff."""

_BATCH = 512 * 1024
_MOST_PIECES = 1024
"""The kernel writes no more at once."""
_KEEP_EVERY = 8 * 1024 * 1024
"""Bytes after which those so far are brought to disk, so that a kill or a broken connection costs no more."""
_SILENCE_S = 0.1
_LAST_BYTES_S = 0.8
_THREADS = 4
_HASHES_REMEMBERED = 1_000


class BrokenOff(Exception):
    """The connection ended before the body did."""


class Hash:
    """A running digest, and how many bytes it has seen."""

    def __init__(self, algorithm: str) -> None:
        self.size = 0
        self._hash = hashlib.new(algorithm)

    def update(self, pieces: list[bytes]) -> None:
        """See more bytes."""
        for piece in pieces:
            self._hash.update(piece)
            self.size += len(piece)

    def digest(self) -> bytes:
        """Of all bytes seen."""
        return self._hash.digest()

    @property
    def name(self) -> str:
        """The digest of all bytes seen, as records name media."""
        return f"{self._hash.name}:{self._hash.hexdigest()}"


class Receiver:
    """Writes chunks into spool files and hashes them with `algorithm` on the way.

    Running digests are kept in memory from chunk to chunk. Where one is missing, because the server was restarted
    or the chunks went to several processes, the file is hashed once more when it is whole.
    """

    def __init__(self, spool: Spool, algorithm: DigestName) -> None:
        self.spool = spool
        self.algorithm = algorithm
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="media")
        self._hashes: OrderedDict[uuid.UUID, Hash] = OrderedDict()

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Do blocking work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def close(self) -> None:
        """Wait for what the threads still do."""
        self._threads.shutdown()
        self.spool.close()

    async def take(self, turn: Turn, admission: Admission, checksum: Checksum | None, body: Body) -> int:
        """Write a chunk; how many bytes of the upload are held now, durably.

        Raises AtOffset `checksum_mismatch`, `upload_overrun`, `upload_superseded`, `storage_full`, and BrokenOff.
        What counts of the chunk is held then, too.
        """
        intake = _Intake(self, turn, admission, checksum)
        failure: BaseException | None = None
        try:
            await _read_until_superseded(intake, turn, body)
        except BaseException as error:
            failure = error
        arrival, held = await asyncio.shield(intake.settle(ended=failure is None))
        if isinstance(failure, MediaError):
            raise AtOffset(failure.code, failure.detail, held)
        if failure is not None:
            raise failure
        if arrival.matches is False:
            raise AtOffset("checksum_mismatch", "the bytes are not those the checksum was made of", held)
        return held

    async def digest(self, turn: Turn) -> str:
        """The digest of a whole upload, as records name media."""
        known = self.hash_at(turn)
        self._hashes.pop(turn.upload, None)
        return known.name if known is not None else await self.run(turn.digest, self.algorithm, turn.held)

    def hash_at(self, turn: Turn) -> Hash | None:
        """The running digest of exactly the bytes held; None where there is none."""
        if turn.held == 0:
            return Hash(self.algorithm)
        known = self._hashes.get(turn.upload)
        return known if known is not None and known.size == turn.held else None

    def remember(self, upload: uuid.UUID, running: Hash | None) -> None:
        """Keep a running digest for the next chunk."""
        self._hashes.pop(upload, None)
        if running is not None:
            self._hashes[upload] = running
            while len(self._hashes) > _HASHES_REMEMBERED:
                self._hashes.popitem(last=False)


class _Intake:
    """One chunk on its way to disk."""

    def __init__(self, receiver: Receiver, turn: Turn, admission: Admission, checksum: Checksum | None) -> None:
        self.last_heard = asyncio.get_running_loop().time()
        self._receiver = receiver
        self._turn = turn
        self._admission = admission
        self._checksum = checksum
        self._running = receiver.hash_at(turn)
        self._of_chunk = Hash(checksum.algorithm) if checksum else None
        self._gathered: list[bytes] = []
        self._gathered_size = 0
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    async def read(self, body: Body) -> None:
        """Hand all of the body to the thread, batch by batch. Raises MediaError and BrokenOff."""
        more = True
        while more:
            piece, more = await body()
            self.last_heard = asyncio.get_running_loop().time()
            self._size += len(piece)
            if self._size > self._admission.room:
                raise MediaError("upload_overrun", "the body is longer than what is missing of the upload")
            self._gathered.append(piece)
            self._gathered_size += len(piece)
            if self._gathered_size >= _BATCH or len(self._gathered) == _MOST_PIECES:
                await self._flush()

    async def settle(self, *, ended: bool) -> tuple[Arrival, int]:
        """Write what is left and keep what counts: what came, and how many bytes of the upload are held now."""
        failure = None
        try:
            await self._written()
        except MediaError as error:
            failure = error
        arrival, held, failure = await self._receiver.run(self._settle, ended, failure)
        self._receiver.remember(self._turn.upload, self._hash_of(held))
        if failure is not None:
            raise AtOffset(failure.code, failure.detail, held)
        return arrival, held

    def _settle(self, ended: bool, failure: MediaError | None) -> tuple[Arrival, int, MediaError | None]:
        size = self._size
        try:
            if failure is None and self._gathered:
                self._write(self._gathered)
        except MediaError as error:
            failure = error
        if failure is not None:
            size, ended = self._turn.end - self._admission.start, False
        matches = None
        if self._of_chunk is not None and self._checksum is not None:
            matches = ended and self._of_chunk.digest() == self._checksum.digest
        arrival = Arrival(size, ended, matches)
        held = held_after(self._admission, arrival)
        if held != self._turn.held:
            self._keep(held)
        return arrival, held, failure

    def _keep(self, held: int) -> None:
        running = self._hash_of(held)
        self._turn.keep(held, running.name if running else None)

    def _hash_of(self, held: int) -> Hash | None:
        """The running digest, if it is that of so many bytes."""
        return self._running if self._running is not None and self._running.size == held else None

    async def _flush(self) -> None:
        """Begin to write what has gathered, once the batch before is written."""
        await self._written()
        if self._gathered:
            batch, self._gathered, self._gathered_size = self._gathered, [], 0
            self._writing = asyncio.ensure_future(self._receiver.run(self._write, batch))

    async def _written(self) -> None:
        # Shielded: a thread does not stop because somebody no longer waits for it.
        if self._writing is not None:
            writing = self._writing
            await asyncio.shield(writing)
            self._writing = None

    def _write(self, batch: list[bytes]) -> None:
        self._turn.append(batch)
        for running in (self._running, self._of_chunk):
            if running is not None:
                running.update(batch)
        if self._admission.in_parts and self._turn.end - self._turn.held >= _KEEP_EVERY:
            self._keep(self._turn.end)


async def _read_until_superseded(intake: _Intake, turn: Turn, body: Body) -> None:
    """Read a body, but no longer than until a newer request comes.

    What flows when the newer request comes is still read, for _LAST_BYTES_S at most.

    Raises MediaError `upload_superseded`, and what reading raises.
    """

    async def watch() -> None:
        while not turn.superseded():  # noqa: ASYNC110 - a file is watched
            await asyncio.sleep(TURN_CHECK_S)
        # The client may have given up on bytes that are still on their way from the kernel to here.
        until = loop.time() + _LAST_BYTES_S
        while intake.last_heard + _SILENCE_S > loop.time() and loop.time() < until:  # noqa: ASYNC110 - a clock is watched
            await asyncio.sleep(_SILENCE_S)
        deadline.reschedule(loop.time())

    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as deadline:
            watching = loop.create_task(watch())
            try:
                await intake.read(body)
            finally:
                watching.cancel()
    except TimeoutError as error:
        raise MediaError("upload_superseded", "a newer request has come") from error
