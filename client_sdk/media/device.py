"""Photos and videos of a device: attach them, see what has become of them, look at others'."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from client_sdk.attending import AttendingDevice
from client_sdk.batch import Batch
from client_sdk.connection import Connection
from client_sdk.errors import Invalid, Offline
from client_sdk.identity import Identity
from client_sdk.media.addresses import Addresses
from client_sdk.media.claims import around, claims_of, told
from client_sdk.media.items import Attached, MediaItem, OnMediaItem, item_of
from client_sdk.media.sending import OnWifi, Sender
from client_sdk.parts import Parts
from client_sdk.store.media import Delivery, MediaRules, MediaUse, QueuedMedia, Urgency, file_name
from client_sdk.store.media_files import TakenFile, folder_of, is_whole, settle, take, urgency_of
from client_sdk.store.records import RecordRow
from client_sdk.store.thread import Tables
from client_sdk.store.writing import Author, LocalWrite, check_keeper, commit
from client_sdk.wire import MediaLink, PublishRequest
from field_schemas.media import MediaRef, media_fields, safe_name
from field_schemas.policies import Policy
from field_schemas.record import Record, RecordType, type_of
from field_schemas.types.media_check import MediaCheck
from media import exif
from media.derivatives import Region

R = TypeVar("R", bound=Record)
PictureSize = Literal["thumbnail", "screen"]
_COPIES_BYTES = 256 * 2**20
_log = logging.getLogger(__name__)


class MediaDevice(AttendingDevice):
    """What a device does with photos and videos. But for `media_file`, `public_picture` and
    `upload_headers` nothing here needs the network."""

    def __init__(
        self, parts: Parts, connection: Connection, addresses: Addresses, on_wifi: OnWifi | None, model: str | None
    ) -> None:
        super().__init__(parts)
        self._model = model
        self._tells_wifi = on_wifi is not None
        self._connection = connection
        self._addresses = addresses
        self._folder = folder_of(parts.path)
        self._sender = Sender(
            parts.store,
            addresses,
            self._folder,
            parts.clocks,
            parts.random_bytes,
            parts.clock.now_ms,
            on_wifi,
            self._tell_media,
            expecting=parts.unsent_media,
        )
        self._media_woken = asyncio.Event()
        self._media_observers: list[OnMediaItem] = []
        self._fetching = asyncio.Lock()

    async def attach(
        self,
        record: R,
        file: str | os.PathLike[str],
        *,
        field: str | None = None,
        entry: Callable[[MediaRef], Any] | None = None,
        evidence: bool = False,
    ) -> Attached[R]:
        """Name the photo, video or recording `file` in `record`, and let its bytes follow when the network allows.

        The record tells when and where the file says it was made. The device keeps a copy of its own until the
        server has said that it holds it. `field` is needed where the type has more than one for media; `entry` makes
        what goes into it, where that is more than the MediaRef. What the record names already is not named twice.
        Evidence is sent before all else. Raises NotAllowed,
        Invalid (`media_refused`, `media_empty`, and `digest_unsupported` where this device cannot compute the
        server's digest), StorageFull, or OSError where `file` cannot be read; then nothing has happened.
        """
        spec, author = type_of(type(record)), self._author()
        taken = await asyncio.to_thread(take, Path(file), self._folder, author.account.media_digest)
        try:
            if taken.media_type is None:
                raise Invalid("media_empty" if not taken.size else "media_refused", str(file))
            name = safe_name(Path(file).name)
            origin = await asyncio.to_thread(exif.origin, taken.path)
            ref = told(MediaRef(taken.digest, taken.size, taken.media_type, name=name or None), origin)
            urgency = Urgency.EVIDENCE if evidence else urgency_of(taken.media_type)
            queued = QueuedMedia(taken.digest, taken.media_type, taken.size, name, urgency)
            named = field or _only_field(spec)
            near = await self._store.run(around, record)
            claims = claims_of(record, ref, near, self._parts.clock, self._model)
            warnings = exif.warnings(origin, claims, author.account.thresholds)
            writes = _naming(self._batch(), record, named, entry(ref) if entry else ref)
            self._sender.expect()
            row = await self._store.run(_attach, author, writes, taken, queued, MediaUse(record.id, named))
            self._wrote.set()
        finally:
            taken.path.unlink(missing_ok=True)
        updated: R = self._typed(type(record), row.id, row.version, row.fields)
        return Attached(updated, ref, tuple(warnings))

    async def media(self) -> list[MediaItem]:
        """The photos and videos attached on this device, in order: where each stands, and what its check found."""
        checks = {(one.media, one.record): one for one in await self.find(MediaCheck)}
        queue = await self._store.run(_queue)
        items: list[MediaItem] = []
        for queued, uses in queue:
            items += [item_of(queued, use.record, checks.get((queued.digest, use.record))) for use in uses]
            items += [] if uses else [item_of(queued)]
        return items

    async def pause_media(self) -> None:
        """Send no photos and videos until `resume_media`; what is on its way ends its chunk. Records go on."""
        await self._store.run(_set_paused, True)

    async def resume_media(self) -> None:
        """Send photos and videos again, at once, and give those the server refused another try."""
        await self._store.run(_set_paused, False)
        self._sender.expect()
        self._media_woken.set()

    async def give_up_media(self, item: MediaItem) -> None:
        """Forget a file that the server refused, and remove its copy here; its records go on naming it.

        Raises Invalid for every other file: what the server may still take is not to be lost.
        """
        await self._store.run(_give_up, item.digest)

    async def wifi_only(self, *what: Urgency) -> None:
        """Send `what` over Wi-Fi alone, from now on and after a restart; nothing: send all over any network.

        Raises Invalid for what is no Urgency, and where the device was opened without `on_wifi`: it would wait for
        ever.
        """
        for one in what:
            if not isinstance(one, Urgency):
                raise Invalid("parameter_invalid", f"{one!r}; there are {', '.join(map(str, Urgency.__members__))}")
        if what and not self._tells_wifi:
            raise Invalid("parameter_invalid", "open the device with on_wifi=, which tells of the network at hand")
        await self._store.run(_set_wifi_only, what)

    def observe_media(self, observer: OnMediaItem) -> Callable[[], None]:
        """Call `observer` with each file that got further; the function returned ends that."""
        self._media_observers.append(observer)
        return lambda: self._media_observers.remove(observer)

    async def media_file(self, record: Record, ref: MediaRef, size: PictureSize | None = None) -> Path:
        """A file with a photo or video that `record` names: the original, or a picture of a `size`, upright.

        It stays, to be looked at offline, while the record is on this device and others do not need the room. Raises
        Offline, SignInNeeded, Rejected (`media_unknown`: its bytes have not arrived yet, or are not for this reader).
        """
        name = file_name(ref.digest) + (f"-{size}" if size else "")
        async with self._fetching:
            if not (self._folder / name).exists():
                await self._fetch(record, ref.digest, size, name)
            return self._folder / name

    async def public_picture(self, record: Record, ref: MediaRef, *hidden: Region) -> Path:
        """A file with a picture of the photo for the public: no metadata, and the `hidden` regions painted over.

        The original stays as it is. For supervisors of the record. Raises as `media_file`; Rejected `role_denied`,
        `picture_unavailable`.
        """
        reader = self._parts.sessions.identity
        link = await self._connection.publish_media(ref.digest, PublishRequest(hidden))
        made = hashlib.sha256(msgspec.json.encode(hidden)).hexdigest()[:16]
        name = f"{file_name(ref.digest)}-public-{made}"
        async with self._fetching:
            await self._download(reader, link, record, name)
            return self._folder / name

    async def upload_headers(self) -> dict[str, str]:
        """The two headers with which any tus client can create uploads in this device's name, for some minutes.

        The address that the server answers needs none. Raises Offline, SignInNeeded.
        """
        return await self._connection.upload_headers()

    async def _fetch(self, record: Record, digest: str, size: PictureSize | None, name: str) -> None:
        reader = self._parts.sessions.identity
        await self._download(reader, await self._connection.media_link(digest, size), record, name)

    async def _download(self, reader: Identity, link: MediaLink, record: Record, name: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f"{name}.part"
        try:
            await self._addresses.download(link, part)
        except BaseException:
            # What broke off is gone on with from there, unless the phone is somebody else's by now.
            if self._parts.sessions.identity.device != reader.device:
                part.unlink(missing_ok=True)
            raise
        try:
            if link.size is not None and not await asyncio.to_thread(is_whole, part, link.digest):
                raise Offline("what arrived is not what was asked for")
            now_ms = self._parts.clock.now_ms()
            await self._parts.sessions.run_as(reader, _keep_copy, part, name, record, now_ms)
        finally:
            part.unlink(missing_ok=True)

    def _tell_media(self, queued: QueuedMedia) -> None:
        for observer in tuple(self._media_observers):
            try:
                observer(item_of(queued))
            except Exception:
                _log.exception("an observer of media failed")


def _only_field(spec: RecordType[Any]) -> str:
    fields = media_fields(spec)
    if len(fields) != 1:
        raise Invalid("field_unknown", f"{spec.name} has {', '.join(fields) or 'no field'} for media; name one")
    return fields[0]


def _naming(batch: Batch, record: Record, field: str, value: Any) -> list[LocalWrite]:
    spec = type_of(type(record))
    appends = field in spec.fields and spec.fields[field].policy is Policy.APPEND
    batch.update(record, **{field: [value] if appends else value})
    return batch.writes


def _attach(
    tables: Tables, author: Author, writes: list[LocalWrite], taken: TakenFile, queued: QueuedMedia, use: MediaUse
) -> RecordRow:
    check_keeper(tables, author)
    row = tables.records.get(use.record)
    if row is None or row.deleted or not _names(row, use.field, queued.digest):
        (row,) = commit(tables, author, writes)
    settle(taken.path, file_name(queued.digest))
    tables.media.add(queued, [use])
    return row


def _names(row: RecordRow, field: str, digest: str) -> bool:
    """Whether the file is there already, by itself: in an answer of a checklist it may stand again."""
    value = row.decoded().get(field)
    entries = value if isinstance(value, list) else [value]
    return any(isinstance(one, dict) and one.get("digest") == digest for one in entries)


def _queue(tables: Tables) -> list[tuple[QueuedMedia, list[MediaUse]]]:
    return [(queued, tables.media.uses_of(queued.digest)) for queued in tables.media.all()]


def _set_paused(tables: Tables, paused: bool) -> None:
    tables.meta.media_rules = msgspec.structs.replace(tables.meta.media_rules, paused=paused)
    if not paused:
        tables.media.try_now()


def _give_up(tables: Tables, digest: str) -> None:
    found = tables.media.find(digest)
    if found is None or found.state is not Delivery.REFUSED:
        raise Invalid("parameter_invalid", f"{digest} is not one that the server refused")
    tables.media.withdraw(digest)
    tables.to_sweep = True


def _set_wifi_only(tables: Tables, what: tuple[Urgency, ...]) -> None:
    tables.meta.media_rules = MediaRules(tables.meta.media_rules.paused, what)


def _keep_copy(tables: Tables, part: Path, name: str, record: Record, now_ms: int) -> None:
    if tables.records.get(record.id) is None:
        raise Invalid("record_unknown", f"{record.id} is not on this device any more")
    size = part.stat().st_size
    settle(part, name)
    tables.media.add_copy(name, record.id, size, now_ms)
    tables.to_sweep |= tables.media.trim_copies(_COPIES_BYTES)
