"""Work that sync leaves for people: conflicts, refusals, and changes that are to be taken back."""

import enum
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from client_sdk.attention import of_conflict, of_refusals, together
from client_sdk.errors import Invalid, NotAllowed
from client_sdk.histories import HistoryItem, UndoResult, undone
from client_sdk.local import LocalDevice
from client_sdk.reports import Attention
from client_sdk.store import asking
from client_sdk.store.writing import Kind, LocalWrite
from field_schemas.record import FieldError, Record, RecordType
from field_schemas.types.attention import Conflict, FieldConflict, Refusal
from sync.ids import uuid7
from sync.messages import Change, Outcome


class Side(enum.Enum):
    """One side of a conflict, in place of a value."""

    OFFERED = enum.auto()
    STANDING = enum.auto()


OFFERED, STANDING = Side.OFFERED, Side.STANDING


class AttendingDevice(LocalDevice):
    """What needs a person, and what that person can do about it. Nothing here needs the network."""

    async def conflicts(self) -> list[Conflict]:
        """The open conflicts on this device."""
        return await self.find(Conflict, state="open")

    async def refusals(self) -> list[Refusal]:
        """The open refusals on this device."""
        found = await self.find(Refusal, state="open")
        waiting = await self._store.run(asking.still_open, [one.id for one in found])
        return [one for one in found if one.id in waiting]

    async def needs_attention(self, language: str = "zh") -> list[Attention]:
        """All open conflicts and refusals that concern the user or are assigned to them, in the user's words:
        Chinese ("zh...") or English."""
        conflicts, refusals = await self.conflicts(), await self.refusals()
        concerned = {one.record for one in conflicts} | {one.record for one in refusals}
        about = await self._store.run(asking.fields_of, concerned)
        registry = self._parts.registry
        return [
            *(of_conflict(registry, one, about.get(one.record), language) for one in conflicts),
            *(
                of_refusals(registry, group, about.get(group[0].record), language)
                for group in together(registry, refusals, about.keys())
            ),
        ]

    async def resolve(self, conflict: Conflict, values: Mapping[str, Any]) -> Conflict:
        """Settle a conflict: each of its fields to OFFERED, STANDING, or another value; what is left out stands.

        Raises NotAllowed or Invalid.
        """
        rows = {row.field: row for row in conflict.differences}
        if foreign := values.keys() - rows.keys():
            raise Invalid("field_unknown", f"not in conflict: {', '.join(sorted(foreign))}")
        chosen = {name: _chosen(rows[name], value) for name, value in values.items()}
        try:
            changed = {name: value for name, value in chosen.items() if value != rows[name].standing}
            spec = self._parts.registry.get(conflict.record_type)
            spec.patch(spec.upgraded(changed, conflict.type_version))
        except FieldError as error:
            raise Invalid(error.code, error.detail) from error
        return await self.update(conflict, resolution=chosen, state="resolved")

    async def assign(self, item: Conflict | Refusal, user: str | None) -> None:
        """Let `user` deal with it (None: nobody in particular). Supervisors only. Raises NotAllowed."""
        await self.update(item, assignee=user)

    async def resend(self, refusal: Refusal, **corrected: Any) -> None:
        """Make the refused change again, with `corrected` fields; that closes the refusal, in one transaction.

        Only the `corrected` fields count as set in sight of what stands now, the others in sight of what the refused
        change had seen. The server fills in fields that a refusal does not show. The refusal of a creation takes
        those of the record's later changes along: the whole record is made again. Where somebody else has dealt
        with it by then, the server refuses the new change as `refusal_closed`; the refusal of that can only be
        dismissed. Raises NotAllowed (`refusal_closed` when this device knows of that already) or Invalid.
        """
        _check_unsettled(refusal)
        author = self._author()
        first, *later = await self._together(refusal)
        writes = [await self._again(first, corrected)]
        for one in later:
            write = await self._again(one, {}, without=corrected.keys())
            if write.kind is Kind.CREATE:
                write = msgspec.structs.replace(write, kind=Kind.UPDATE)
            writes.append(write)
        await self._commit(author, writes)

    async def dismiss(self, refusal: Refusal) -> Refusal:
        """Let the refused change be; with a creation, the record's later changes too."""
        return await self._close(refusal, "dismissed")

    async def apply_refused(self, refusal: Refusal) -> Refusal:
        """Let the server make the refused change by the user's own authority; with a creation, the record's later
        changes too. Supervisors only. Raises NotAllowed."""
        _check_unsettled(refusal)
        return await self._close(refusal, "applied")

    async def undo(self, item: HistoryItem) -> UndoResult:
        """Take a change back by a new one, as far as that is possible; an undo can be undone like any change.

        Later work stays: fields that were set again since are kept, or disputed where people decide on them; elements
        of sets that were added again since come back with the next sync. Changes can be taken back one after the
        other, the last first. Where somebody else took the change back first, or nothing of it is left to take back,
        the server refuses the undo. Raises NotAllowed (`already_undone` when this device knows of that,
        `nothing_to_undo` of what was refused) or Invalid.
        """
        if item.outcome is Outcome.REFUSED:
            raise NotAllowed("nothing_to_undo", "the change was refused")
        if item.undone is not None:
            raise NotAllowed("already_undone", f"by version {item.undone}")
        if item.type not in self._parts.registry:
            raise Invalid("type_unknown", f"there is no record type {item.type!r}")
        spec, author = self._parts.registry.get(item.type), self._author()
        row = await self._store.run(asking.record, item.record)
        if row is None or row.deleted:
            raise Invalid("record_unknown", f"there is no {spec.name} {item.record} on this device")
        patch, kept = undone(spec, item, row.decoded(), row.version)
        if patch:
            try:
                encoded = spec.patch(patch)
            except FieldError as error:
                raise Invalid(error.code, error.detail) from error
            change = uuid7(self._parts.clock.now_ms(), self._parts.random_bytes)
            write = LocalWrite(Kind.UPDATE, change, spec, item.record, encoded, item.version, undoes=item.change)
            (row,) = await self._commit(author, [write])
        record: Record = self._typed(spec.cls, row.id, row.version, row.fields)
        return UndoResult(record, kept)

    async def _close(self, refusal: Refusal, state: str) -> Refusal:
        author, batch = self._author(), self._batch()
        for one in await self._together(refusal):
            batch.update(one, state=state)
        row, *_ = await self._commit(author, batch.writes)
        return self._typed(Refusal, row.id, row.version, row.fields)

    async def _together(self, refusal: Refusal) -> list[Refusal]:
        """The refusal with those that are dealt with together with it."""
        about = await self._store.run(asking.fields_of, [refusal.record])
        of_record = [one for one in await self.refusals() if one.record == refusal.record]
        groups = together(self._parts.registry, of_record, about.keys())
        return next((group for group in groups if group[0].id == refusal.id), [refusal])

    async def _again(self, refusal: Refusal, corrected: dict[str, Any], without: Collection[str] = ()) -> LocalWrite:
        """The refused change as a new one; the device's own copy knows more than the refusal, where it has one."""
        row, own = await self._store.run(asking.refused, refusal.record, refusal.change)
        if row is None and refusal.code == "record_deleted":
            raise NotAllowed("record_deleted", f"{refusal.record_type} {refusal.record} was deleted")
        deletes = own is not None and own.delete and not corrected
        try:
            spec = self._parts.registry.get(refusal.record_type)
            fields = {name: value for name, value in _as_made(spec, refusal, own).items() if name not in without}
            patch = b"\x80" if deletes else spec.patch({**fields, **corrected})
        except FieldError as error:
            raise Invalid(error.code, error.detail) from error
        kind = Kind.DELETE if deletes else Kind.CREATE if row is None else Kind.UPDATE
        change = uuid7(self._parts.clock.now_ms(), self._parts.random_bytes)
        seen = row.version if row else 0
        return LocalWrite(kind, change, spec, refusal.record, patch, seen, refusal.id, refusal.undoes)


def _as_made(spec: RecordType[Any], refusal: Refusal, own: Change | None) -> dict[str, Any]:
    """What the refused change set, as the program knows the type now."""
    if own is None:
        return spec.upgraded(refusal.refused, refusal.type_version)
    return spec.upgraded(msgspec.msgpack.decode(own.fields), own.type_version)


def _chosen(row: FieldConflict, value: Any) -> Any:
    if value is OFFERED:
        return row.offered
    return row.standing if value is STANDING else value


def _check_unsettled(refusal: Refusal) -> None:
    """Raise NotAllowed where what the refusal holds was settled by another."""
    if refusal.code == "refusal_closed":
        raise NotAllowed("refusal_closed", "what it holds was settled before; dismiss it")
