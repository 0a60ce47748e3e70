"""Small builders of changes, actors and pushes, so that a test shows only what it is about."""

import contextlib
import itertools
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from field_schemas.access import Grant, Role
from field_schemas.registry import Registry, load_types
from sync.authority import Actor
from sync.clock import Captured, stamp_at
from sync.decision import Submission
from sync.memory import MemoryStore
from sync.messages import Change, PullRequest, PullResponse, PushResponse, Verdict
from sync.pull import pull
from sync.push import push
from sync.storage import Collision

NOW = 1_790_000_000_000
STREET = "440304001"
GRID = STREET + "001001"
REGISTRY = load_types()
EPOCH = uuid.UUID(int=7)
_ids = itertools.count(1)


def new_id() -> uuid.UUID:
    """An id no other call gave."""
    return uuid.UUID(int=(0x7 << 76) | (0x2 << 62) | next(_ids))


def actor(user: str, *grants: tuple[str, Role], device: uuid.UUID | None = None) -> Actor:
    """A user on a new device with grants (scope, role)."""
    return Actor(user, device or new_id(), tuple(Grant(scope, role) for scope, role in grants))


def inspector(user: str, scope: str = f"grid:{STREET}") -> Actor:
    """An inspector of one street."""
    return actor(user, (scope, Role.INSPECTOR))


def supervisor(user: str = "sup", scope: str = "grid:440304") -> Actor:
    """A supervisor of the district."""
    return actor(user, (scope, Role.SUPERVISOR))


def component(**fields: Any) -> dict[str, Any]:
    """The fields of a component that is complete."""
    place = {"lon": 114.059, "lat": 22.541}
    return {"code": "4403040102000001", "kind": "0102", "grid": GRID, "place": place} | fields


class Office:
    """A memory store with the devices that push to it and pull from it, all at time `now`.

    `registry` is what the server's program knows; another one makes it another program.
    """

    def __init__(self, store: Any = None, registry: Registry = REGISTRY) -> None:
        self.store = store or MemoryStore(EPOCH)
        self.registry = registry
        self.now = NOW
        self._sequence: dict[uuid.UUID, int] = {}

    def change(self, author: Actor, kind: str, record: uuid.UUID, fields: Mapping[str, Any], **more: Any) -> Change:
        """The author's next change, made now unless `more` says otherwise."""
        seq = self._sequence[author.device] = self._sequence.get(author.device, 0) + 1
        given: dict[str, Any] = {
            "id": new_id(),
            "seq": seq,
            "stamp": stamp_at(self.now) + seq,
            "captured": Captured(self.now, self.now, 0),
        }
        raw = msgspec.Raw(msgspec.msgpack.encode(dict(fields)))
        return Change(**(given | {"type": kind, "record": record, "fields": raw} | more))

    async def submit(self, author: Actor, *changes: Change) -> PushResponse | Exception:
        """Push these changes, as servers do: without a look at what is known, and with one where that collides."""
        if isinstance(self.store, MemoryStore):
            self.store.grants[author.user] = author.grants
        submissions = [Submission(author, list(changes), self.now)]
        with contextlib.suppress(Collision):
            async with self.store.writing() as tx:
                return (await push(tx, self.registry, submissions, look=False))[0]
        async with self.store.writing() as tx:
            return (await push(tx, self.registry, submissions))[0]

    async def write(
        self, author: Actor, kind: str, record: uuid.UUID, fields: Mapping[str, Any], **more: Any
    ) -> Verdict:
        """Make and push one change; its verdict."""
        answer = await self.submit(author, self.change(author, kind, record, fields, **more))
        assert isinstance(answer, PushResponse)
        return answer.verdicts[0]

    async def read(
        self, reader: Actor, cursor: str | None = None, limit: int = 1_000, types: dict[str, int] | None = None
    ) -> PullResponse:
        """Pull one page, by a program that knows `types`."""
        async with self.store.reading() as tx:
            return await pull(tx, self.registry, reader, PullRequest(cursor, limit, types=types), self.now)

    async def fields(self, record: uuid.UUID) -> dict[str, Any]:
        """A record's fields as stored."""
        async with self.store.reading() as tx:
            stored = (await tx.records([record]))[record]
        return msgspec.msgpack.decode(stored.fields, type=dict[str, Any])
