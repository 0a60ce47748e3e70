"""Media on a database, with people who send and name photos, and a clock that tests move."""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select

from field_schemas.access import FIELD_WORKERS, Access, Grant, Role
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type, type_of
from field_schemas.registry import Registry, load_types
from field_schemas.scopes import of_person
from field_schemas.types.values import ShortText, UserId
from media.errors import Unavailable
from media.inspection.inspector import Inspector
from media.receiving import Body, Piece
from media.tus import Metadata
from media.uploads import Chunk
from server.accounts.identities import Identity
from server.accounts.tables import devices, users
from server.group_commit import PushQueue, QueueBounds
from server.media.arrivals import Arrival, Arrivals
from server.media.parts import Media
from server.media.pictures import Pictures
from server.media.rows import StoredUpload, Wanted, upload_of
from server.media.tables import uploads
from server.settings import Settings
from server.storage.database import Database
from sync.messages import Outcome
from tests.integration.media import digest_of, media_ref
from tests.unit.builders import GRID, NOW, Office, new_id

DISTRICT = Grant("grid:440304", Role.SUPERVISOR)


@record_type(
    "media_verdict",
    zh="核验",
    en="Verdict",
    scopes=(of_person("author"),),
    access=Access(read=FIELD_WORKERS),
)
class Verdict(Record):
    """What a check of these tests says."""

    author: Annotated[UserId, Field("提交人", "Author", Policy.SERVER_ONLY)]
    said: Annotated[ShortText, Field("结论", "Said", Policy.SERVER_ONLY)]


class Desk:
    """Media on a database. What a person does is done by `li` unless somebody else is named."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.now = NOW
        self.database = database
        self.folder = folder
        self.registry = Registry([*(spec.cls for spec in load_types()), Verdict])
        settings = Settings(data_dir=str(folder), media_grace_days=30, media_upload_hours=24)
        self.media = Media(settings, database, self.registry, Ed25519PrivateKey.generate(), lambda: self.now)
        self.queue = PushQueue(database.store, self.registry, QueueBounds(100, 100, 1), lambda: self.now)
        self.office = Office()
        self.checked: list[Arrival] = []
        self.fails: dict[str, int] = {}
        self.away = False
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.li = _person("li", DISTRICT)
        pictures = Pictures(self.media.shelf, Inspector(), lambda: self.now)
        self.arrivals = Arrivals(
            database,
            self.media.shelf,
            self.media.references,
            self.queue,
            self.check,
            pictures,
            lambda: self.now,
            os.urandom,
        )

    async def person(self, user: str, *grants: Grant) -> Identity:
        """A new account with a device."""
        made = _person(user, *grants)
        await self.enrol(made)
        return made

    async def enrol(self, person: Identity) -> None:
        """The account and the device."""
        user, device = person.user, person.device
        account = {"id": user, "display_name": user, "password_hash": "", "created_ms": NOW}
        enrolled = {
            "id": device,
            "user_id": user,
            "public_key": device.bytes * 2,
            "name": "phone",
            "enrolled_ms": NOW,
        }
        async with self.database.engine.begin() as connection:
            await connection.execute(insert(users).values(account))
            await connection.execute(insert(devices).values(enrolled))

    async def check(self, file: Path, arrival: Arrival) -> Record:
        """Note what is checked, and let `meanwhile` happen; fail as often as told, or as a store that is away."""
        if self.away:
            raise Unavailable
        if self.fails.get(arrival.blob.digest):
            self.fails[arrival.blob.digest] -= 1
            raise ValueError("cannot look into it")
        assert digest_of(await asyncio.to_thread(file.read_bytes)) == arrival.blob.digest
        self.checked.append(arrival)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return Verdict(author=arrival.change.user, said=f"{arrival.device.name}: fine")

    async def begin(self, content: bytes, by: Identity | None = None, **wanted: Any) -> uuid.UUID:
        """An upload without bytes."""
        made = await self.media.uploads.create(by or self.li, Wanted(Metadata(), len(content), **wanted))
        return made.row.id

    async def send(self, content: bytes, by: Identity | None = None) -> uuid.UUID:
        """An upload with all its bytes."""
        upload = await self.begin(content, by)
        await self.media.uploads.append(upload, Chunk(0, len(content)), body(content))
        return upload

    async def knows(self, content: bytes, by: Identity) -> bool:
        """Whether the server takes the digest alone for an upload of these bytes."""
        wanted = Wanted(Metadata(digest=digest_of(content)), len(content))
        return await self.media.uploads.create_known(by, wanted) is not None

    async def reads(self, content: bytes, by: Identity) -> bool:
        """Whether this person gets the photo."""
        return await self.media.library.find(by, digest_of(content)) is not None

    async def row(self, upload: uuid.UUID) -> StoredUpload | None:
        """An upload's row."""
        async with self.database.read_engine.connect() as connection:
            found = (await connection.execute(select(uploads).where(uploads.c.id == upload))).first()
        return upload_of(found) if found else None

    async def name(
        self, *contents: bytes, noted: bool = True, by: Identity | None = None, of: str = "note", **fields: Any
    ) -> uuid.UUID:
        """Push a note, or a record `of` another type, that names these photos, as the HTTP layer does; its id."""
        record = new_id()
        named = {"grid": GRID, "text": "x", "media": [media_ref(content) for content in contents]}
        await self.push(record, named | fields, noted=noted, by=by, of=of)
        return record

    async def push(
        self,
        record: uuid.UUID,
        fields: dict[str, Any],
        *,
        noted: bool = True,
        by: Identity | None = None,
        of: str = "note",
        outcome: Outcome = Outcome.APPLIED,
        **more: Any,
    ) -> None:
        """Push a change of a record."""
        person = by or self.li
        self.office.now = self.now
        change = self.office.change(person.actor, of, record, fields, **more)
        if noted:
            await self.media.references.note_pushed(person.user, [change], as_json=False)
        answer = await self.queue.submit(person.actor, [change], as_json=False)
        if noted:
            await self.media.references.note_decided([change])
        assert answer.verdicts[0].outcome is outcome, answer.verdicts

    async def refusals(self, record: uuid.UUID) -> list[uuid.UUID]:
        """The refusals of changes of a record."""
        async with self.database.store.reading() as tx:
            return [change.attention for change in await tx.history(record) if change.attention is not None]

    async def stored(self, content: bytes) -> bool:
        """Whether the photo is in the store, by its row and by its bytes alike."""
        there = await self.media.shelf.find(digest_of(content)) is not None
        size = await self.media.shelf.bytes_of.size(digest_of(content))
        assert there == (size is not None)
        return there

    async def verdicts(self) -> list[Verdict]:
        """The verdicts written so far."""
        spec = type_of(Verdict)
        async with self.database.store.reading() as tx:
            return [spec.typed(one.fields, one.id, one.version) async for page in tx.scan(spec.name) for one in page]


def body(content: bytes) -> Body:
    """A body in one piece."""

    async def next_piece() -> Piece:
        return content, False

    return next_piece


def _person(user: str, *grants: Grant) -> Identity:
    return Identity(user, user.title(), new_id(), new_id(), grants)
