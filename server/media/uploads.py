"""Uploads: made by a signed-in device, then carried on by whoever knows their address, until they are whole."""

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import structlog
from sqlalchemy import insert, update
from sqlalchemy.exc import SQLAlchemyError

from media.content import HEAD_BYTES, kind_of
from media.errors import MediaError, Unavailable
from media.receiving import Body, Receiver
from media.turns import Turn
from media.uploads import Admission, Chunk, State, admit, check_alive, check_length
from server.accounts.identities import Identity
from server.media.library import Library
from server.media.quotas import SMALLEST, reserve
from server.media.rows import PARTIAL, Standing, StoredUpload, Wanted, new_upload, stored_upload
from server.media.shelf import Blob, Claim, Shelf, note_claim, note_stored
from server.media.tables import uploads
from server.storage.database import Database
from sync.clock import DAY_MS, Milliseconds
from sync.errors import SyncError
from sync.ids import RandomBytes, uuid7

_log = structlog.get_logger(__name__)


class UploadRules(msgspec.Struct, frozen=True):
    """What may be uploaded: `largest` bytes at once, `daily` by a device; an upload lives `life_ms`."""

    largest: int
    daily: int
    life_ms: int

    def expires_ms(self, created_ms: int, length: int | None) -> int:
        """When an upload ends: of unknown length after the day in which its bytes count, or it could be filled later
        without limit."""
        return created_ms + (min(self.life_ms, DAY_MS) if length is None else self.life_ms)


class Uploads:
    """The uploads of a server: their rows in the database, their bytes in the receiver's spool."""

    def __init__(
        self,
        database: Database,
        receiver: Receiver,
        library: Library,
        shelf: Shelf,
        rules: UploadRules,
        now_ms: Milliseconds,
        random_bytes: RandomBytes,
    ) -> None:
        self.rules = rules
        self.receiver = receiver
        self._database = database
        self._spool = receiver.spool
        self._library = library
        self._shelf = shelf
        self._now_ms = now_ms
        self._random_bytes = random_bytes

    async def create(self, who: Identity, wanted: Wanted) -> Standing:
        """A new upload.

        Raises MediaError `upload_too_large`, `media_empty`, `digest_unsupported`, `quota_exceeded`, `storage_full`;
        where it is made of others `upload_unknown` and `upload_unfinished`, and what `append` raises.
        """
        algorithm = self.receiver.algorithm
        if wanted.metadata.digest and not wanted.metadata.digest.startswith(f"{algorithm}:"):
            raise MediaError("digest_unsupported", f"media is kept by {algorithm}")
        parts = await self._parts(who, wanted.parts)
        length = sum(part.length or 0 for part in parts) if parts else wanted.length
        if length is not None:
            check_length(length, self.rules.largest)
        row = self._new_row(who, wanted, length)
        await self.receiver.run(self._spool.create, row.id, length or 0)
        row = await self._insert(row, length or 0)
        return await self._join(row, parts) if parts else Standing(row, 0)

    async def create_known(self, who: Identity, wanted: Wanted) -> Standing | None:
        """A new upload of bytes that the device's user may read here already: whole at once; None for others.

        Where the store does not answer, the bytes are taken anew. Raises Unavailable where the device has freed them,
        which would take them for lost.
        """
        try:
            return await self._known(who, wanted)
        except Unavailable:
            if wanted.metadata.freed:
                raise
            return None

    async def _known(self, who: Identity, wanted: Wanted) -> Standing | None:
        blob = await self._library.find(who, wanted.metadata.digest) if wanted.metadata.digest else None
        if (
            blob is None
            or blob.size != wanted.length
            or wanted.concat
            or await self._shelf.touch(blob.digest) is None
            # Who hears that it is whole here gives up the last other copy.
            or not await self._shelf.holds(blob)
        ):
            return None
        row = msgspec.structs.replace(self._new_row(who, wanted, blob.size), state=State.COMPLETE, digest=blob.digest)
        await self._shelf.vouch(Claim(blob.digest, who.user, who.device, self._now_ms(), sent=False))
        return Standing(await self._insert(row, 0), blob.size)

    async def append(self, upload: uuid.UUID, chunk: Chunk, body: Body) -> Standing:
        """Take a chunk, and what is whole then becomes a blob.

        Raises MediaError: what `admit`, `Receiver.take` and `finish` raise, `upload_unknown`, `upload_busy`,
        `upload_superseded`, `quota_exceeded`; and BrokenOff.
        """
        try:
            async with self._spool.turn(upload) as turn:
                return await self._append(await self._row(upload), turn, chunk, body)
        except MediaError as error:
            if error.code != "upload_gone":
                raise
        standing = await self.look(upload)
        admit(standing.row.at(standing.offset), chunk, self.rules.largest, self._now_ms())
        return standing

    async def head(self, upload: uuid.UUID) -> Standing:
        """Where the upload stands, from where its client goes on: whoever still wrote it stops.

        Raises MediaError: as `append`.
        """
        try:
            async with self._spool.turn(upload) as turn:
                row = await self._row(upload)
                check_alive(row.at(turn.held), self._now_ms())
                return await self._finished(row, turn)
        except MediaError as error:
            if error.code != "upload_gone":
                raise
        return await self.look(upload)

    async def look(self, upload: uuid.UUID) -> Standing:
        """Where the upload stands, without disturbing who writes it. Raises MediaError."""
        row = await self._row(upload)
        if row.state is State.COMPLETE:
            return Standing(row, row.length or 0)
        if row.state is State.REFUSED:
            raise MediaError(row.code or "media_refused", row.detail or "")
        held = await self.receiver.run(self._spool.held, upload)
        check_alive(row.at(held), self._now_ms())
        return Standing(row, held)

    async def status(self, upload: uuid.UUID) -> Standing:
        """As `look`, and of a refused upload too."""
        row = await self._row(upload)
        return Standing(row, 0) if row.state is State.REFUSED else await self.look(upload)

    async def end(self, upload: uuid.UUID) -> None:
        """Terminate an upload. A blob it has become stays while something refers to it. Raises MediaError."""
        row = (await self.look(upload)).row
        if row.state is State.OPEN:
            async with self._spool.turn(upload) as turn:
                held = turn.held
                await self.receiver.run(self._spool.drop, upload)
        else:
            held = row.length or 0
        await self._update(row, state=State.ENDED, reserved=max(held, SMALLEST))

    async def finish_idle(self, row: StoredUpload) -> bool:
        """Finish an upload that is whole and that no request works on; whether it is finished now."""
        try:
            turn = await self.receiver.run(self._spool.idle_turn, row.id)
            if turn is None:
                return False
            try:
                return (await self._finished(await self._row(row.id), turn)).row.state is not State.OPEN
            finally:
                turn.close()
        except (MediaError, SyncError):
            return False

    async def _append(self, row: StoredUpload, turn: Turn, chunk: Chunk, body: Body) -> Standing:
        if row.state is State.REFUSED:
            raise MediaError(row.code or "media_refused", row.detail or "")
        admission = admit(row.at(turn.held), chunk, self.rules.largest, self._now_ms())
        row = await self._reserved(row, admission, chunk)
        # In the loop: the kernel knows it without the disk, and a thread to ask it costs more.
        self._spool.check_room(chunk.size or 0)
        await self.receiver.take(turn, admission, chunk.checksum, body)
        return await self._finished(row, turn)

    async def _reserved(self, row: StoredUpload, admission: Admission, chunk: Chunk) -> StoredUpload:
        """The row of an upload without length, counted for what it has by now; with its length once that is told."""
        if row.length is not None:
            return row
        if admission.length is not None:
            size = admission.length
        else:
            size = admission.start + (admission.room if chunk.size is None else chunk.size)
        expires_ms = self.rules.expires_ms(row.created_ms, admission.length)
        async with self._database.engine.begin() as connection:
            counted = await reserve(connection, row.device, row.id, size, self.rules.daily, self._now_ms())
            changed = {"length": admission.length, "reserved": counted, "expires_ms": expires_ms}
            await connection.execute(update(uploads).where(uploads.c.id == row.id).values(changed))
        return msgspec.structs.replace(row, length=admission.length, reserved=counted, expires_ms=expires_ms)

    async def _finished(self, row: StoredUpload, turn: Turn) -> Standing:
        """The upload; as a blob, if it has all its bytes and is no part of another. Raises MediaError."""
        if row.state is State.OPEN and row.at(turn.held).whole:
            try:
                row = await self._finish(row, turn)
            except (SQLAlchemyError, Unavailable, OSError) as error:
                # The bytes are safe here; `finish_left` tries again.
                _log.warning("finishing_postponed", upload=str(row.id), error=repr(error))
        return Standing(row, turn.held)

    async def _finish(self, row: StoredUpload, turn: Turn) -> StoredUpload:
        """Judge a whole upload and make it a blob. Raises MediaError `digest_mismatch` or `media_refused`."""
        await self.receiver.run(turn.trim)
        digest = await self.receiver.digest(turn)
        kind = kind_of(await self.receiver.run(os.pread, turn.data, HEAD_BYTES, 0))
        if row.announced not in (None, digest):
            return await self._refuse(row, "digest_mismatch", f"announced was {row.announced}, it is {digest}")
        if kind is None:
            return await self._refuse(
                row, "media_refused", "by its content it is of none of the kinds that are taken"
            )
        claim = Claim(digest, row.user, row.device, self._now_ms(), sent=True)
        if not await self._shelf.store(Blob(digest, turn.held, kind), self._spool.data(row.id), claim):
            return row
        async with self._database.engine.begin() as connection:
            await note_stored(connection, digest, self._now_ms())
            await note_claim(connection, claim)
            done = {"state": State.COMPLETE, "digest": digest}
            await connection.execute(update(uploads).where(uploads.c.id == row.id).values(done))
        await self.receiver.run(self._spool.drop, row.id)
        return msgspec.structs.replace(row, state=State.COMPLETE, digest=digest)

    async def _refuse(self, row: StoredUpload, code: str, detail: str) -> StoredUpload:
        await self._update(row, state=State.REFUSED, code=code, detail=detail)
        await self.receiver.run(self._spool.drop, row.id)
        raise MediaError(code, detail)

    async def _parts(self, who: Identity, wanted: Sequence[uuid.UUID]) -> list[StoredUpload]:
        standings = [await self.look(part) for part in wanted]
        for standing in standings:
            if standing.row.device != who.device or standing.row.concat != PARTIAL:
                raise MediaError("upload_unknown", f"{standing.row.id} is no part that this device has uploaded")
            if standing.offset != standing.row.length:
                raise MediaError("upload_unfinished", f"{standing.row.id}: {standing.offset} bytes are here")
        return [standing.row for standing in standings]

    async def _join(self, row: StoredUpload, parts: Sequence[StoredUpload]) -> Standing:
        """Copy the parts into an upload and finish it; when that fails, the client learns of no upload."""
        try:
            async with self._spool.turn(row.id) as turn:
                await self.receiver.run(self._copy, turn, parts)
                return await self._finished(row, turn)
        except MediaError:
            with suppress(MediaError):
                await self.end(row.id)
            raise

    def _copy(self, turn: Turn, parts: Sequence[StoredUpload]) -> None:
        for part in parts:
            for piece in self._spool.pieces(part.id, part.length or 0):
                turn.append([piece])
        turn.keep(turn.end, None)

    async def _insert(self, row: StoredUpload, size: int) -> StoredUpload:
        """The row in the database, with `size` bytes counted. Raises MediaError `quota_exceeded`."""
        try:
            async with self._database.engine.begin() as connection:
                counted = await reserve(connection, row.device, row.id, size, self.rules.daily, self._now_ms())
                row = msgspec.structs.replace(row, reserved=counted)
                await connection.execute(insert(uploads).values(msgspec.structs.asdict(row)))
        except MediaError:
            await self.receiver.run(self._spool.drop, row.id)
            raise
        return row

    async def _update(self, row: StoredUpload, **changed: object) -> None:
        async with self._database.engine.begin() as connection:
            await connection.execute(update(uploads).where(uploads.c.id == row.id).values(changed))

    async def _row(self, upload: uuid.UUID) -> StoredUpload:
        async with self._database.read_engine.connect() as connection:
            return await stored_upload(connection, upload)

    def _new_row(self, who: Identity, wanted: Wanted, length: int | None) -> StoredUpload:
        now = self._now_ms()
        expires_ms = self.rules.expires_ms(now, length)
        return new_upload(uuid7(now, self._random_bytes), who, wanted, length, now, expires_ms)
