"""Deciding one change: valid? permitted at the time of capture? merged field by field, and logged with its verdict.

What follows from it (sync.consequences) is decided here in its turn.
"""

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from field_schemas.record import FieldError, RecordType
from field_schemas.registry import Registry
from field_schemas.scopes import district_of
from sync import authority
from sync.as_seen import places_known, possible_ms
from sync.attention import FOR_PEOPLE
from sync.authority import Actor, HeldRoles
from sync.clock import estimate, stamp_at
from sync.concern import Concerned
from sync.consequences import Consequences, made_later_than
from sync.corrected import completed, merge_corrected
from sync.draft import Draft, Workspace
from sync.errors import Refused
from sync.forms import any_fields, change_now, patch_now
from sync.ids import made_on_device
from sync.merge import Merged, Write, create, merge
from sync.messages import MAX_CHANGE_BYTES, MAX_RECORD_BYTES, Change, Outcome
from sync.storage import LoggedChange
from sync.undo import check_undo, merge_undo

_unpack = msgspec.msgpack.decode
_pack = msgspec.msgpack.Encoder().encode
NOTHING = _pack({})
_NONE: frozenset[int] = frozenset()
_UNCHANGED: Mapping[str, Any] = MappingProxyType({})


class Submission(msgspec.Struct, frozen=True):
    """The changes of one push as received; `as_json` says how their `fields` are encoded, `epoch` for which contents
    they were sent (None: for any)."""

    actor: Actor
    changes: list[Change]
    received_ms: int
    as_json: bool = False
    epoch: uuid.UUID | None = None


class Rules(msgspec.Struct, frozen=True):
    """What changes are judged by beside the grants of their authors."""

    registry: Registry
    offline_ms: int


class Decision:
    """One change on its way to a verdict."""

    patch_bytes = NOTHING
    before: Mapping[str, Any] = _UNCHANGED
    version = 0
    attention: uuid.UUID | None = None
    scopes: tuple[str, ...] = ()
    closes: uuid.UUID | None = None
    """The conflict or refusal that is closed by what this change is a consequence of."""
    refused: LoggedChange | None = None
    """The refused change that this one makes by another's authority: in its own place and its author's name."""
    settled: LoggedChange | None = None
    """The refused change that this one, corrected, takes the place of."""

    def __init__(
        self, work: Workspace, rules: Rules, roles: HeldRoles, change: Change, submission: Submission
    ) -> None:
        self.work = work
        self.rules = rules
        self.registry = rules.registry
        self.roles = roles
        self.actor = submission.actor
        # What follows from a change is the server's, made for the change's author.
        self.by_server = change.seq == 0 or not roles.numbered
        self.change = change
        self.submission = submission
        self.time = authority.vouched(estimate(change.captured, submission.received_ms), submission.actor)
        self.as_of_ms = self.time.ms
        self.patch_version = change.type_version

    async def log(self) -> LoggedChange:
        """Decide, carry out what follows, and log."""
        code = detail = None
        try:
            outcome = await self._decide()
        except (Refused, FieldError) as error:
            code, detail = error.code, error.detail
            outcome = Outcome.REFUSED
            self.version = 0
            self.before = _UNCHANGED
            if self.patch_bytes is NOTHING:
                self.patch_bytes = any_fields(self.change.fields, as_json=self.submission.as_json)
            else:
                self.patch_bytes = any_fields(self.patch_bytes, as_json=False)
            if not self.by_server:
                fields, form = self.patch_bytes, self.patch_version
                self.attention = await self._after.refusal(self.scopes, fields, form, code, detail)
        change = self.change
        logged = LoggedChange(
            id=change.id,
            device=self.actor.device,
            seq=change.seq,
            user=self.actor.user,
            type=change.type,
            record=change.record,
            district=district_of(self.scopes),
            base=self._seen_base(outcome),
            version=self.version,
            stamp=change.stamp,
            outcome=outcome,
            code=code,
            detail=detail,
            attention=self.attention,
            captured_ms=self.time.ms,
            error_ms=self.time.error_ms,
            received_ms=self.submission.received_ms,
            deletes=change.delete,
            fields=self.patch_bytes,
            before=_pack(self.before) if self.before else NOTHING,
            type_version=self.patch_version,
            wall_ms=change.captured.wall_ms,
        )
        self.work.log(logged)
        return logged

    def _seen_base(self, outcome: Outcome) -> int:
        """The version by which what is logged is judged later. A correction that is refused too may hold what its
        author knew no more of than when it was refused first."""
        if outcome is Outcome.REFUSED and self.settled is not None:
            return min(self.change.base, self.settled.base)
        return self.change.base

    async def _decide(self) -> Outcome:
        change = self.change
        if len(memoryview(change.fields)) > MAX_CHANGE_BYTES and not self.actor.system:
            raise Refused("change_too_large", f"more than {MAX_CHANGE_BYTES} bytes")
        if not self.roles.same_at(self.time.ms, self.submission.received_ms):
            received_ms = self.submission.received_ms
            self.as_of_ms = await possible_ms(self.work, change, self.actor, self.time.ms, received_ms)
        if change.settles is not None and not self.actor.revoked:
            self.settled = await self._after.close(change.settles)
        spec = self.registry.get(change.type)
        if change.type_version > spec.version:
            raise Refused("type_too_new", f"{spec.name} is known up to version {spec.version}")
        as_json = self.submission.as_json
        self.patch_bytes = spec.canonical_patch(patch_now(spec, change, as_json=as_json), as_json=as_json)
        self.patch_version = spec.form
        if self.settled is not None and self.settled.type == spec.name:
            self.settled = change_now(spec, self.settled)
        patch: dict[str, Any] = _unpack(self.patch_bytes)
        if self.settled is not None and not change.delete:
            patch = completed(spec, self.settled, patch)
            self.patch_bytes = _pack(patch)
        if self.actor.revoked:
            raise Refused("device_quarantined", f"device {self.actor.device} is revoked")
        if self.time.ms < self.submission.received_ms - self.rules.offline_ms:
            raise Refused("offline_too_long", "captured longer before its receipt than is allowed")
        draft = await self.work.draft(change.record)
        if draft is None:
            return await self._create(spec, patch)
        self.scopes = draft.scopes
        within = draft.scopes
        if draft.version > change.base and not self.by_server:
            told_ms = self.as_of_ms - self.rules.offline_ms
            within = await places_known(self.work, spec, draft, change, self.actor, told_ms)
        # First of all, so that an outsider learns nothing else.
        if not self.roles.over(within, self.as_of_ms):
            raise Refused("scope_denied", "no grant covers the record")
        if draft.type != spec.name:
            raise Refused("type_mismatch", f"{draft.id} is no {spec.name}")
        if draft.deleted:
            raise Refused("record_deleted", f"{spec.name} {draft.id} was deleted at version {draft.version}")
        if change.delete:
            return await self._delete(spec, draft)
        return await self._update(spec, draft, patch, within)

    async def _create(self, spec: RecordType[Any], patch: dict[str, Any]) -> Outcome:
        change = self.change
        if change.base or change.delete:
            raise Refused("record_unknown", f"there is no {spec.name} {change.record}")
        if change.undoes is not None:
            raise Refused("change_unknown", f"there is no change {change.undoes} of this {spec.name}")
        if not made_on_device(change.record) and not self.actor.system:
            raise Refused("id_invalid", f"{change.record} is not a UUIDv7")
        if not spec.required <= patch.keys():
            missing = sorted(spec.required - patch.keys())
            raise Refused("field_missing", f"{spec.name} needs {', '.join(missing)}")
        owner = self.refused.user if self.refused else self.actor.user
        self.scopes = spec.scopes(patch, owner)
        roles = authority.permit_create(spec, self.roles, patch, self.scopes, self.as_of_ms)
        draft = Draft(change.record, spec.name, spec.form, owner)
        merged = create(spec, spec.initial_states | patch, await self._write(roles))
        if spec.assigned in merged.fields:
            await self._check_assignee(spec, merged, owner)
        self._take(draft, merged)
        return Outcome.APPLIED

    async def _update(
        self, spec: RecordType[Any], draft: Draft, patch: dict[str, Any], within: tuple[str, ...]
    ) -> Outcome:
        roles = authority.permit_update(spec, self.roles, patch, within, self.as_of_ms)
        write = await self._write(roles)
        if self.change.undoes is not None:
            history = await self.work.history(draft.id)
            check_undo(spec, self.change.undoes, history, patch)
            merged = merge_undo(spec, draft, patch, write, self.change.undoes, history)
        elif self.settled is not None:
            later = await made_later_than(self.work, self.settled)
            merged = merge_corrected(spec, draft, self.settled, patch, write, later)
        else:
            merged = merge(spec, draft.fields, draft.marks, patch, write)
        draft.most_bytes = self._room(draft, merged)
        if not spec.scope_fields.isdisjoint(merged.before):
            scopes = spec.scopes(merged.fields, draft.owner)
            authority.permit_place(spec, self.roles, scopes, spec.access.write | spec.access.create, self.as_of_ms)
            self.scopes = scopes
        if spec.assigned in merged.before:
            await self._check_assignee(spec, merged, draft.owner)
        if spec.name in FOR_PEOPLE:
            await self._after.settle(spec, draft, merged, patch)
        self.before = merged.before
        was = draft.scopes
        self._take(draft, merged)
        if was != draft.scopes and spec.name not in FOR_PEOPLE:
            await self._after.take_along(spec, draft, was)
        if merged.disputed:
            self.attention = await self._after.conflict(spec, draft, merged.disputed, patch, self.settled)
            return Outcome.CONFLICT
        return Outcome.MERGED if merged.combined else Outcome.APPLIED

    def _room(self, draft: Draft, merged: Merged) -> int:
        """How many bytes the fields of the record have at most. Raises Refused where it would grow too large."""
        most = draft.most_bytes + len(self.patch_bytes)
        if most > MAX_RECORD_BYTES and not self.actor.system:
            most = len(_pack(merged.fields))
            if most > max(MAX_RECORD_BYTES, draft.most_bytes):
                raise Refused("record_too_large", f"{most} bytes, {MAX_RECORD_BYTES} are allowed")
        return most

    async def _delete(self, spec: RecordType[Any], draft: Draft) -> Outcome:
        authority.permit_delete(spec, self.roles, draft.scopes, self.as_of_ms)
        if self.change.undoes is not None or self.patch_bytes != NOTHING:
            raise Refused("value_invalid", "a deletion sets no fields and takes nothing back")
        write = await self._write(frozenset())
        # To send it again is the answer to `record_changed`; else it is judged by what was seen when it was refused.
        if self.settled is not None and self.settled.code != "record_changed":
            write = msgspec.structs.replace(write, base=min(write.base, self.settled.base))
        if any(write.concurrent_with(mark) for mark in draft.marks.values()):
            raise Refused("record_changed", f"version {self.change.base} was seen, {draft.version} stands")
        draft.version = self.version
        draft.deleted = True
        self.work.put(draft)
        await self._after.close_all(draft)
        return Outcome.APPLIED

    async def _write(self, roles: frozenset[Any]) -> Write:
        refused = self.refused
        latest = stamp_at((refused or self.submission).received_ms + 1)
        self.version = await self.work.version()
        stamp = min(self.change.stamp, latest)
        # The server writes for many who know nothing of each other: none of its writes has seen another by itself.
        other = refused.device if refused else self.change.id if self.by_server else None
        device = str(other) if other else self.roles.writer
        later = await made_later_than(self.work, refused) if refused else _NONE
        return Write(stamp, device, self.change.base, self.version, roles, later)

    async def _check_assignee(self, spec: RecordType[Any], merged: Merged, owner: str | None) -> None:
        # What the server brings in may be of people who have left.
        if not self.actor.system:
            await Concerned(self.work, self.submission.received_ms).check_assignee(spec, merged.fields, owner)

    def _take(self, draft: Draft, merged: Merged) -> None:
        draft.fields, draft.marks = merged.fields, merged.marks
        draft.version = self.version
        draft.scopes = self.scopes
        self.work.put(draft)

    @property
    def _after(self) -> Consequences:
        return Consequences(
            work=self.work,
            registry=self.registry,
            roles=self.roles,
            actor=self.actor,
            change=self.change,
            as_of_ms=self.as_of_ms,
            now_ms=self.submission.received_ms,
            closes=self.closes,
            decide=self._decide_consequence,
        )

    async def _decide_consequence(
        self, actor: Actor, change: Change, closes: uuid.UUID | None, refused: LoggedChange | None
    ) -> LoggedChange:
        submission = Submission(actor, [], self.submission.received_ms)
        decision = Decision(self.work, self.rules, HeldRoles(actor), change, submission)
        decision.closes = closes
        decision.refused = refused
        return await decision.log()
