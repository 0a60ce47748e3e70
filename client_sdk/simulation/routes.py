"""What a server process answers: the protocol's calls over the shared database."""

import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import httpx
import msgspec

from client_sdk.simulation.accounts import Accounts, Session
from client_sdk.simulation.database_watch import DatabaseWatch
from client_sdk.simulation.gate import Gate
from client_sdk.simulation.programs import Program
from client_sdk.simulation.signing import Signer
from client_sdk.simulation.transactions import SimulatedStore
from client_sdk.wire import Me
from field_schemas.access import Grant
from sync.authority import Actor
from sync.decision import Submission
from sync.errors import SyncError
from sync.history import history
from sync.memory import MadeSnapshot, MemorySnapshots
from sync.messages import (
    DigestRequest,
    DigestResponse,
    FetchRequest,
    FetchResponse,
    HistoryResponse,
    PullRequest,
    PullResponse,
    PushRequest,
    PushResponse,
    ReceiptRequest,
    ReceiptResponse,
    SnapshotRequest,
    SnapshotResponse,
    WireRecord,
)
from sync.pull import pull
from sync.receipts import receipt
from sync.snapshot import decode_block
from sync.stretch import Stretches
from sync.verify import digest, fetch

_STRETCH = 2
"""Entries that are kept together: few, so that much happens between reading and showing them."""
_SNAPSHOT_FROM, _BLOCK_RECORDS, _MADE_ANEW = 4, 2, 0.3
_decode = msgspec.msgpack.decode
Submit = Callable[[Submission], Awaitable[PushResponse]]


class Surroundings(Protocol):
    """What the answers need of the world."""

    accounts: Accounts
    signer: Signer
    watch: DatabaseWatch

    def now_ms(self) -> int:
        """True time, which servers have."""


class Routes:
    """One life of a process: with it goes what it keeps in memory. In a `calm` one no answer breaks off."""

    def __init__(
        self,
        world: Surroundings,
        store: SimulatedStore,
        program: Program,
        submit: Submit,
        rng: random.Random,
        *,
        calm: bool,
    ) -> None:
        self._world = world
        self._gate = Gate(world.accounts, world.signer.public_key, world.now_ms)
        self._store = store
        self._program = program
        self._submit = submit
        self._rng = rng
        self._calm = calm
        self._snapshots: dict[str, MadeSnapshot] = {}
        self._stretches = Stretches(_STRETCH)

    async def answer(self, request: httpx.Request) -> Any:
        """The message, or the response, that answers a request. Raises SyncError, ConnectionLost."""
        gate = self._gate
        match request.url.path:
            case "/v1/sessions":
                return gate.sign_in(request)
            case "/v1/sessions/refresh":
                return gate.refresh(request)
            case "/v1/sessions/current":
                return gate.sign_out(request)
            case "/v1/me":
                user = gate.active(request).user
                return Me(user, user, self._grants(user), self._world.now_ms())
            case "/v1/push":
                return await self._push(gate.session(request), _decode(request.content, type=PushRequest))
            case "/v1/pull":
                return await self._pull(gate.active(request), _decode(request.content, type=PullRequest))
            case "/v1/digests":
                return await self._digest(gate.active(request), _decode(request.content, type=DigestRequest))
            case "/v1/snapshots":
                return await self._ask_snapshot(gate.active(request), _decode(request.content, type=SnapshotRequest))
            case path if path.startswith("/v1/snapshots/"):
                return await self._snapshot_content(gate.active(request), request)
            case "/v1/records/fetch":
                return await self._fetch(gate.active(request), _decode(request.content, type=FetchRequest))
            case "/v1/receipts":
                return await self._receipt(gate.session(request), _decode(request.content, type=ReceiptRequest))
            case path if path.endswith("/history"):
                return await self._history(gate.active(request), uuid.UUID(path.split("/")[-2]))
        raise SyncError("not_found", request.url.path)

    def _grants(self, user: str) -> tuple[Grant, ...]:
        return self._world.accounts.grants.get(user, ())

    async def _push(self, session: Session, asked: PushRequest) -> PushResponse:
        now = self._world.now_ms()
        revoked = self._world.accounts.is_revoked(session.device, now)
        actor = Actor(session.user, session.device, self._grants(session.user), revoked=revoked)
        response = await self._submit(Submission(actor, asked.changes, now, epoch=asked.epoch))
        page = await self._page_along(session, asked.pull) if asked.pull and not revoked else None
        return msgspec.structs.replace(response, page=page)

    async def _page_along(self, session: Session, asked: PullRequest) -> PullResponse | None:
        try:
            return await self._pull(session, asked)
        except SyncError:
            return None

    async def _pull(self, session: Session, asked: PullRequest) -> PullResponse:
        # Small pages, so that much happens between two of them.
        asked = msgspec.structs.replace(asked, limit=min(asked.limit, self._rng.choice((2, 5, 20, 500))))
        grants, now = self._grants(session.user), self._world.now_ms()
        async with self._store.reading() as tx:
            reader = Actor(session.user, session.device, grants)
            page = await pull(tx, self._program.registry, reader, asked, now, _SNAPSHOT_FROM, self._stretches)
            self._world.watch.on_delivery(session, grants, now, page.records, tx)
        return page

    def _snapshots_of(self, known: Mapping[str, MadeSnapshot]) -> MemorySnapshots:
        return MemorySnapshots(self._program.registry, _BLOCK_RECORDS, known)

    async def _ask_snapshot(self, session: Session, asked: SnapshotRequest) -> SnapshotResponse:
        reader, now = Actor(session.user, session.device, self._grants(session.user)), self._world.now_ms()
        known = {} if self._rng.random() < _MADE_ANEW else dict(self._snapshots)
        snapshots = self._snapshots_of(known)
        async with self._store.reading() as tx:
            response = await snapshots.ask(tx, reader, asked, now, _SNAPSHOT_FROM)
            for made in snapshots.kept.keys() - known.keys():
                shown = _records_of(snapshots.kept[made])
                self._world.watch.on_delivery(session, reader.grants, now, shown, tx)
        self._snapshots.update(snapshots.kept)
        return response

    async def _snapshot_content(self, session: Session, request: httpx.Request) -> httpx.Response:
        """The content from the start that the range names to a place where chance breaks it off."""
        snapshot = request.url.path.rpartition("/")[2]
        reader, now = Actor(session.user, session.device, self._grants(session.user)), self._world.now_ms()
        snapshots = self._snapshots_of(self._snapshots)
        async with self._store.reading() as tx:
            whole = await snapshots.content(tx, reader, snapshot, now)
        shown = _records_of(snapshots.kept[snapshot.partition("-")[0]])
        self._world.watch.given[session.device].update(wire.id for wire in shown)
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        end = len(whole) if self._calm else self._rng.randint(start, len(whole) * 2)
        return httpx.Response(206, stream=httpx.ByteStream(whole[start:end]))

    async def _fetch(self, session: Session, asked: FetchRequest) -> FetchResponse:
        grants, now = self._grants(session.user), self._world.now_ms()
        async with self._store.reading() as tx:
            found = await fetch(tx, self._program.registry, Actor(session.user, session.device, grants), asked, now)
            self._world.watch.on_delivery(session, grants, now, found.records, tx)
        return found

    async def _history(self, session: Session, record: uuid.UUID) -> HistoryResponse:
        actor = Actor(session.user, session.device, self._grants(session.user))
        async with self._store.reading() as tx:
            return await history(tx, self._program.registry, actor, record, self._world.now_ms())

    async def _digest(self, session: Session, asked: DigestRequest) -> DigestResponse:
        actor = Actor(session.user, session.device, self._grants(session.user))
        async with self._store.reading() as tx:
            return await digest(tx, self._program.registry, actor, asked, self._world.now_ms())

    async def _receipt(self, session: Session, asked: ReceiptRequest) -> ReceiptResponse:
        signer = self._world.signer
        actor = Actor(session.user, session.device, self._grants(session.user))
        async with self._store.reading() as tx:
            given = await receipt(tx, actor, signer.read(asked.previous), asked.changes, self._world.now_ms())
        return ReceiptResponse(signer.sign(given))


def _records_of(snapshot: MadeSnapshot) -> list[WireRecord]:
    groups = [group for block in snapshot.blocks for group in decode_block(block)]
    return [wire for group in groups for wire in group.records()]
