"""Deciding one change: valid? permitted at the time of capture? merged field by field, and what follows from it.

What is not applied becomes a refusal record, what people must settle a conflict record; both are changes of the
server and take the same way.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from field_schemas.access import grants_at
from field_schemas.policies import Policy
from field_schemas.record import FieldError, RecordType
from field_schemas.registry import Registry
from field_schemas.scopes import district_of
from sync import authority
from sync.attention import (
    CLOSED_BY_DELETION,
    base_values,
    check_resolution,
    conflict_fields,
    refusal_fields,
    resolution_of,
    version_field,
    writers_of,
)
from sync.authority import SERVER, Actor, HeldRoles
from sync.clock import Captured, estimate, stamp_at
from sync.concern import Concerned, is_place, people_and_places
from sync.draft import Draft, Workspace
from sync.errors import Refused
from sync.forms import change_now
from sync.ids import derived_id, made_on_device
from sync.merge import Merged, Write, create, merge
from sync.messages import MAX_CHANGE_BYTES, Change, Outcome
from sync.storage import LoggedChange
from sync.undo import check_undo, note_undo, overtaken

_unpack = msgspec.msgpack.decode
_pack = msgspec.msgpack.Encoder().encode
_object = msgspec.msgpack.Decoder(dict[str, Any]).decode
_json_object = msgspec.json.Decoder(dict[str, Any]).decode
NOTHING = _pack({})
_FOR_PEOPLE = ("conflict", "refusal")


class Submission(msgspec.Struct, frozen=True):
    """The changes of one push as received; `as_json` says how their `fields` are encoded."""

    actor: Actor
    changes: list[Change]
    received_ms: int
    as_json: bool = False


class Rules(msgspec.Struct, frozen=True):
    """What changes are judged by beside the grants of their authors."""

    registry: Registry
    offline_ms: int


def numbered(actor: Actor) -> bool:
    """Whether changes of `actor` come from a device: numbered, and kept as refusals where they are refused."""
    return actor.device != SERVER.device


class Decision:
    """One change on its way to a verdict."""

    def __init__(
        self, work: Workspace, rules: Rules, roles: HeldRoles, change: Change, submission: Submission
    ) -> None:
        self.work = work
        self.rules = rules
        self.registry = rules.registry
        self.roles = roles
        self.actor = submission.actor
        # What follows from a change is the server's, made for the change's author.
        self.by_server = change.seq == 0 or not numbered(submission.actor)
        self.change = change
        self.submission = submission
        self.time = authority.vouched(estimate(change.captured, submission.received_ms), submission.actor)
        self.as_of_ms = self.time.ms
        self.patch_bytes = NOTHING
        self.patch_version = change.type_version
        self.before: dict[str, Any] = {}
        self.version = 0
        self.attention: uuid.UUID | None = None
        self.scopes: tuple[str, ...] = ()
        # The conflict or refusal that is closed by what this change is a consequence of.
        self.closes: uuid.UUID | None = None
        # The refused change that this one makes by another's authority: in its own place and its author's name.
        self.refused: LoggedChange | None = None
        # The refused change that this one, corrected, takes the place of.
        self.settled: LoggedChange | None = None

    async def log(self) -> LoggedChange:
        """Decide, carry out what follows, and log."""
        code = detail = None
        try:
            outcome = await self._decide()
        except (Refused, FieldError) as error:
            code, detail = error.code, error.detail
            outcome = Outcome.REFUSED
            self.version = 0
            self.before = {}
            if self.patch_bytes is NOTHING:
                self.patch_bytes = _any_fields(self.change.fields, self.submission.as_json)
            if not self.by_server:
                self.attention = await self._refusal(code, detail)
        change = self.change
        logged = LoggedChange(
            id=change.id,
            device=self.actor.device,
            seq=change.seq,
            user=self.actor.user,
            type=change.type,
            record=change.record,
            district=district_of(self.scopes),
            base=change.base,
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
        )
        self.work.log(logged)
        return logged

    async def _decide(self) -> Outcome:
        change = self.change
        if len(memoryview(change.fields)) > MAX_CHANGE_BYTES and not self.actor.system:
            raise Refused("change_too_large", f"more than {MAX_CHANGE_BYTES} bytes")
        if not self.roles.same_at(self.time.ms, self.submission.received_ms):
            self.as_of_ms = await self._possible_ms()
        if change.settles is not None and not self.actor.revoked:
            await self._close(change.settles)
        spec = self.registry.get(change.type)
        if change.type_version > spec.version:
            raise Refused("type_too_new", f"{spec.name} is known up to version {spec.version}")
        self.patch_bytes = spec.canonical_patch(self._fields_now(spec), as_json=self.submission.as_json)
        self.patch_version = spec.form
        if self.settled is not None and self.settled.type == spec.name:
            self.settled = change_now(spec, self.settled)
        patch: dict[str, Any] = self._completed(spec, _unpack(self.patch_bytes))
        if self.actor.revoked:
            raise Refused("device_quarantined", f"device {self.actor.device} is revoked")
        if self.time.ms < self.submission.received_ms - self.rules.offline_ms:
            raise Refused("offline_too_long", "captured longer before its receipt than is allowed")
        draft = await self.work.draft(change.record)
        if draft is None:
            return await self._create(spec, patch)
        self.scopes = draft.scopes
        # First of all, so that an outsider learns nothing else.
        if not self.roles.over(draft.scopes, self.as_of_ms):
            raise Refused("scope_denied", "no grant covers the record")
        if draft.type != spec.name:
            raise Refused("type_mismatch", f"{draft.id} is no {spec.name}")
        if draft.deleted:
            raise Refused("record_deleted", f"{spec.name} {draft.id} was deleted at version {draft.version}")
        if change.delete:
            return await self._delete(spec, draft)
        return await self._update(spec, draft, patch)

    def _fields_now(self, spec: RecordType[Any]) -> bytes | memoryview:
        """The change's fields as the type is declared now. Raises Refused where they cannot be upgraded."""
        change, as_json = self.change, self.submission.as_json
        if change.type_version >= spec.form:
            return change.fields
        given = _unpack(_any_fields(change.fields, as_json))
        try:
            fields = spec.upgraded(given, change.type_version)
            return msgspec.json.encode(fields) if as_json else _pack(fields)
        except Exception as error:
            # A step sees values before anything has checked them: whatever it trips over is wrong in the change.
            raise Refused("value_invalid", f"no {spec.name} of version {change.type_version}: {error!r}") from error

    def _completed(self, spec: RecordType[Any], patch: dict[str, Any]) -> dict[str, Any]:
        """The patch with what the change that it corrects set of fields not everyone may read: the refusal does not
        show them, so who corrects it elsewhere cannot send them. Raises FieldError."""
        if self.settled is None or self.change.delete:
            return patch
        unseen = _object(self.settled.fields)
        unseen = {name: unseen[name] for name in spec.limited_fields & unseen.keys() - patch.keys()}
        if not unseen:
            return patch
        completed: dict[str, Any] = _unpack(spec.canonical_patch(_pack(unseen), as_json=False)) | patch
        self.patch_bytes = _pack(completed)
        return completed

    async def _possible_ms(self) -> int:
        """When the change was captured, no earlier than it can have been by what the server itself knows.

        Its device had sent everything before, and its author had seen the version it is based on. Looked up only
        where it matters: when the author's grants have changed since the time that the device claims.
        """
        seen = [
            one.received_ms
            for one in await self.work.history(self.change.record)
            if 0 < one.version <= self.change.base
        ]
        return min(max([self.time.ms, self.actor.sent_all_ms, *seen]), self.submission.received_ms)

    @property
    def concerned(self) -> Concerned:
        """Whom things concern by the grants of now."""
        return Concerned(self.work, self.submission.received_ms)

    async def _create(self, spec: RecordType[Any], patch: dict[str, Any]) -> Outcome:
        change = self.change
        if not made_on_device(change.record) and not self.actor.system:
            raise Refused("id_invalid", f"{change.record} is not a UUIDv7")
        if change.base or change.delete:
            raise Refused("record_unknown", f"there is no {spec.name} {change.record}")
        if missing := spec.required - patch.keys():
            raise Refused("field_missing", f"{spec.name} needs {', '.join(sorted(missing))}")
        owner = self.refused.user if self.refused else self.actor.user
        self.scopes = spec.scopes(patch, owner)
        roles = authority.permit_create(spec, self.roles, patch, self.scopes, self.as_of_ms)
        draft = Draft(change.record, spec.name, spec.form, owner)
        merged = create(spec, spec.initial_states | patch, await self._write(roles))
        self._take(draft, merged)
        return Outcome.APPLIED

    async def _update(self, spec: RecordType[Any], draft: Draft, patch: dict[str, Any]) -> Outcome:
        roles = authority.permit_update(spec, self.roles, patch, draft.scopes, self.as_of_ms)
        write = await self._write(roles)
        if self.change.undoes is not None:
            check_undo(self.change.undoes, await self.work.history(draft.id), patch)
            merged = await self._undo(self.change.undoes, spec, draft, patch, write)
        elif self.settled is not None:
            merged = _merge_corrected(spec, draft, self.settled, patch, write)
        else:
            merged = merge(spec, draft.fields, draft.marks, patch, write)
        if not spec.scope_fields.isdisjoint(merged.before):
            scopes = spec.scopes(merged.fields, draft.owner)
            authority.permit_place(spec, self.roles, scopes, spec.access.write | spec.access.create, self.as_of_ms)
            self.scopes = scopes
        await self._settle(spec, draft, merged, patch)
        self.before = merged.before
        was = draft.scopes
        self._take(draft, merged)
        if was != draft.scopes and spec.name not in _FOR_PEOPLE:
            await self._take_along(spec, draft, was)
        if merged.disputed:
            self.attention = await self._conflict(draft, merged.disputed, patch)
            return Outcome.CONFLICT
        return Outcome.MERGED if merged.combined else Outcome.APPLIED

    async def _undo(
        self, undone: uuid.UUID, spec: RecordType[Any], draft: Draft, patch: dict[str, Any], write: Write
    ) -> Merged:
        """Merge an undo, which leaves later work as it stands; people decide where the field is for review."""
        version = await self.work.version_made(undone, draft.id)
        later = overtaken(spec, draft.marks, patch, version)
        own = {name: operand for name, operand in patch.items() if name not in later}
        merged = merge(spec, draft.fields, draft.marks, own, write)
        differs = [name for name in later if draft.fields.get(name, spec.defaults.get(name)) != patch[name]]
        merged.combined |= bool(differs)
        merged.disputed += [name for name in differs if spec.fields[name].policy is Policy.REVIEW]
        note_undo(undone, merged.marks, write)
        return merged

    async def _delete(self, spec: RecordType[Any], draft: Draft) -> Outcome:
        authority.permit_delete(spec, self.roles, draft.scopes, self.as_of_ms)
        write = await self._write(frozenset())
        if any(write.concurrent_with(mark) for mark in draft.marks.values()):
            raise Refused("record_changed", f"version {self.change.base} was seen, {draft.version} stands")
        draft.version = self.version
        draft.deleted = True
        self.work.put(draft)
        await self._close_all(draft)
        return Outcome.APPLIED

    async def _write(self, roles: frozenset[Any]) -> Write:
        refused = self.refused
        latest = stamp_at((refused or self.submission).received_ms + 1)
        self.version = await self.work.version()
        stamp = min(self.change.stamp, latest)
        # The server writes for many who know nothing of each other: none of its writes has seen another by itself.
        writer = refused.device if refused else self.change.id if self.by_server else self.actor.device
        return Write(stamp, str(writer), self.change.base, self.version, roles, late=refused is not None)

    def _take(self, draft: Draft, merged: Merged) -> None:
        draft.fields, draft.marks = merged.fields, merged.marks
        draft.version = self.version
        draft.scopes = self.scopes
        self.work.put(draft)

    async def _settle(self, spec: RecordType[Any], draft: Draft, merged: Merged, patch: Mapping[str, Any]) -> None:
        """Carry out what closing a conflict or refusal asks for, as a change by whoever closed it."""
        change = refused = None
        if spec.name in _FOR_PEOPLE and "assignee" in merged.before and merged.fields["assignee"] is not None:
            await self.concerned.check_assignee(spec, merged.fields["assignee"], merged.fields["concerns"])
        if spec.name == "conflict":
            check_resolution(draft.fields, merged.fields, patch)
            change = self._resolution(draft, merged)
        elif spec.name == "refusal" and merged.before.get("state") == "open" and merged.fields["state"] == "applied":
            refused = await self.work.change(uuid.UUID(draft.fields["change"]))
            change = self._refused_change(draft, refused)
        if change is not None:
            await self._carry_out(change, draft.id, refused)

    async def _close(self, refusal: uuid.UUID) -> None:
        """Close the refusal that this change settles. First of all, so that whatever comes of the change, what was
        refused takes effect once. Raises Refused."""
        draft = await self.work.draft(refusal)
        of_record = draft and draft.type == "refusal" and draft.fields["record"] == str(self.change.record)
        if draft is None or not of_record or not self.roles.over(draft.scopes, self.as_of_ms):
            raise Refused("record_unknown", f"there is no refusal {refusal} of this record")
        if draft.fields["state"] != "open":
            raise Refused("refusal_closed", f"the refusal is {draft.fields['state']}")
        self.settled = await self.work.change(uuid.UUID(draft.fields["change"]))
        closing = self._derived("settled", "refusal", refusal)
        await self._carry_out(self._by_author(closing, draft.version, msgspec.Raw(_pack({"state": "resent"}))))

    async def _take_along(self, spec: RecordType[Any], draft: Draft, was: tuple[str, ...]) -> None:
        """Let the open conflicts and refusals about a record that moved concern those it concerns now."""
        for item in await self.concerned.open_about(draft.id):
            if item.id == self.closes:
                continue
            concerns = await self.concerned.after_move(item, spec, was, draft.scopes)
            if concerns != item.fields["concerns"]:
                patch: dict[str, Any] = {"concerns": concerns}
                if await self.concerned.lose_assignee(self.registry.get(item.type), item, concerns):
                    patch["assignee"] = None
                await self._amend("move", item, patch)

    async def _close_all(self, deleted: Draft) -> None:
        """Close what is open about a record that was deleted: nobody could settle it any more."""
        for item in await self.concerned.open_about(deleted.id):
            if item.id != self.closes:
                await self._amend("deletion", item, {"state": CLOSED_BY_DELETION[item.type]})

    async def _amend(self, why: str, item: Draft, patch: dict[str, Any]) -> None:
        """Let the server change a conflict or refusal because of what became of its record."""
        change = self._derived(f"{why} of {item.id}", item.type, item.id)
        fields = msgspec.Raw(_pack(patch))
        await self._consequence(SERVER, msgspec.structs.replace(change, base=item.version, fields=fields))

    async def _carry_out(
        self, change: Change, closes: uuid.UUID | None = None, refused: LoggedChange | None = None
    ) -> None:
        """Make a consequence of this change, which `closes` a conflict or refusal, by its author's authority; it may
        be what was `refused`.

        Raises Refused where that is.
        """
        logged = await self._consequence(self.actor, change, closes, refused)
        if logged.outcome is Outcome.REFUSED:
            raise Refused(logged.code or "value_invalid", logged.detail or "")

    def _resolution(self, draft: Draft, merged: Merged) -> Change | None:
        resolution = resolution_of(draft.fields, merged.fields)
        if not resolution:
            return None
        target = self._derived("resolution", draft.fields["record_type"], uuid.UUID(draft.fields["record"]))
        change = self._by_author(target, draft.fields["seen_version"], msgspec.Raw(_pack(resolution)))
        return msgspec.structs.replace(change, type_version=draft.fields.get("type_version", 1))

    def _refused_change(self, refusal: Draft, refused: LoggedChange) -> Change:
        if refused.type in _FOR_PEOPLE:
            raise Refused("role_denied", f"a {refused.type} is closed by itself, not by another")
        target = self._derived("resolution", refused.type, refused.record)
        change = self._by_author(target, refused.base, msgspec.Raw(refused.fields))
        undoes = refusal.fields.get("undoes")
        return msgspec.structs.replace(
            change,
            stamp=refused.stamp,
            delete=refused.deletes,
            undoes=undoes and uuid.UUID(undoes),
            type_version=refused.type_version,
        )

    def _by_author(self, target: Change, base: int, fields: msgspec.Raw) -> Change:
        """A consequence that the author of this change makes with it: at the same moment, by the same grants."""
        return msgspec.structs.replace(
            target,
            base=base,
            fields=fields,
            captured=self.change.captured,
            stamp=self.change.stamp,
        )

    async def _conflict(self, draft: Draft, disputed: list[str], patch: Mapping[str, Any]) -> uuid.UUID:
        spec = self.registry.get(draft.type)
        history = [change_now(spec, one) for one in await self.work.history(draft.id) if one.type == spec.name]
        seen = min(self.change.base, self.settled.base) if self.settled else self.change.base
        base = base_values(history, draft.fields, seen, disputed)
        writers = writers_of(history, draft.marks, disputed)
        author = self.actor.user
        fields = conflict_fields(self.change, author, draft, base, writers, disputed, patch)
        others = {user for user in writers.values() if user is not None}
        readers = await self.concerned.readers(spec, draft.scopes, others | {author})
        fields["concerns"] = people_and_places({*fields["concerns"], *readers})
        return await self._attend("conflict", fields)

    async def _refusal(self, code: str, detail: str) -> uuid.UUID:
        draft = await self.work.draft(self.change.record)
        content = _unpack(self.patch_bytes) if code != "change_too_large" else {}
        scopes = draft.scopes if draft else self.scopes
        if self.change.type in self.registry:
            spec = self.registry.get(self.change.type)
            scopes = scopes or spec.scopes(content, None)
            content = self._for_all(spec, content)
        concerned = self._concerned(scopes)
        fields = refusal_fields(self.change, self.actor.user, concerned, content, code, detail)
        return await self._attend("refusal", fields | version_field(self.patch_version))

    def _for_all(self, spec: RecordType[Any], content: dict[str, Any]) -> dict[str, Any]:
        """What of the content everybody may read who may see the record; of a newer version's fields nobody knows."""
        names = spec.renamed({name: name for name in content}, self.patch_version)
        is_newer = self.patch_version > spec.version
        hidden = {now for now in names if now in spec.limited_fields or (is_newer and now not in spec.fields)}
        return {name: content[name] for now, name in names.items() if now not in hidden}

    def _concerned(self, scopes: tuple[str, ...]) -> list[str]:
        """Whose supervisors deal with a refusal: the record's, but for an outsider the author's own.

        An outsider is not to learn where a record lies, nor to fill the lists of those it belongs to.
        """
        own = [one for one in scopes if is_place(one) and self.roles.over((one,), self.as_of_ms)]
        held = grants_at(self.actor.grants, self.as_of_ms) or self.actor.grants
        return own or [grant.scope for grant in held if is_place(grant.scope)]

    async def _attend(self, kind: str, fields: dict[str, Any]) -> uuid.UUID:
        change = self._derived(kind, kind, derived_id(self.change.id, f"{kind} record"))
        await self._consequence(SERVER, msgspec.structs.replace(change, fields=msgspec.Raw(_pack(fields))))
        return change.record

    def _derived(self, purpose: str, record_type: str, record: uuid.UUID) -> Change:
        now = self.submission.received_ms
        return Change(
            id=derived_id(self.change.id, purpose),
            seq=0,
            type=record_type,
            record=record,
            stamp=stamp_at(now),
            captured=Captured(now, now, 0),
            type_version=self.registry.forms.get(record_type, 1),
        )

    async def _consequence(
        self, actor: Actor, change: Change, closes: uuid.UUID | None = None, refused: LoggedChange | None = None
    ) -> LoggedChange:
        submission = Submission(actor, [], self.submission.received_ms)
        decision = Decision(self.work, self.rules, HeldRoles(actor), change, submission)
        decision.closes = closes
        decision.refused = refused
        return await decision.log()


def _merge_corrected(
    spec: RecordType[Any], draft: Draft, refused: LoggedChange, patch: Mapping[str, Any], write: Write
) -> Merged:
    """Merge what takes the place of a refused change: only what the correction set anew has seen what stands now."""
    set_then = _object(refused.fields)
    kept = {name: operand for name, operand in patch.items() if name in set_then and set_then[name] == operand}
    anew = {name: operand for name, operand in patch.items() if name not in kept}
    then = msgspec.structs.replace(write, base=min(refused.base, write.base))
    first = merge(spec, draft.fields, draft.marks, kept, then)
    second = merge(spec, first.fields, first.marks, anew, write)
    second.before = first.before | second.before
    second.combined |= first.combined
    second.disputed = first.disputed + second.disputed
    return second


def _any_fields(raw: msgspec.Raw, as_json: bool) -> bytes:
    """The fields of a change as a MessagePack object, whatever they are, for the log of a change that is refused."""
    try:
        return _pack((_json_object if as_json else _object)(raw))
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        return _pack({"unreadable": bytes(raw)})
