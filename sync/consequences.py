"""What follows from a change: the conflict or refusal people are to deal with, and what their closing one brings.

Each consequence is a change of its own and is decided like any other.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from field_schemas.access import grants_at
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from sync.attention import (
    CLOSED_BY_DELETION,
    FOR_PEOPLE,
    base_values,
    check_resolution,
    conflict_fields,
    refusal_fields,
    resolution_of,
    version_field,
    writers_of,
)
from sync.authority import SERVER, Actor, HeldRoles
from sync.clock import Captured, stamp_at
from sync.concern import Concerned, is_place
from sync.draft import Draft, Workspace
from sync.errors import Refused
from sync.forms import change_now
from sync.ids import derived_id
from sync.merge import Merged
from sync.messages import Change, Outcome
from sync.storage import LoggedChange

_unpack = msgspec.msgpack.Decoder(dict[str, Any]).decode
_pack = msgspec.msgpack.Encoder().encode

Decide = Callable[[Actor, Change, uuid.UUID | None, LoggedChange | None], Awaitable[LoggedChange]]
"""Decides and logs a consequence: by whom it is made, the change, the conflict or refusal that what it follows from
closes, and the refused change that it makes."""


async def shown_to_author(work: Workspace, change: LoggedChange) -> uuid.UUID | None:
    """The conflict or refusal that a logged change led to, None where its author was not to see it: who may not read
    the record by then is told that there is a conflict, and not what of."""
    if change.outcome is not Outcome.CONFLICT:
        return change.attention
    made = await work.change(derived_id(change.id, "conflict"))
    return change.attention if f"person:{change.user}" in _unpack(made.fields)["concerns"] else None


async def made_later_than(work: Workspace, refused: LoggedChange) -> frozenset[int]:
    """The versions of a record made by what was written after a change of it that was `refused`; what was refused too
    and sent again counts as written when it was refused."""
    made = {one.id: one for one in await work.history(refused.record) if one.version and one.stamp > refused.stamp}
    closed_by = {derived_id(one, "settled"): one for one in made}
    for closing in await work.changes(closed_by):
        refusal = await work.draft(closing.record)
        if refusal is not None and refusal.fields["stamp"] <= refused.stamp:
            del made[closed_by[closing.id]]
    return frozenset(one.version for one in made.values())


class Consequences:
    """What follows from `change`, which `actor` made when `roles` held as of `as_of_ms`, at the server's `now_ms`.

    `closes` is the conflict or refusal that is closed by what the change is a consequence of.
    """

    def __init__(
        self,
        *,
        work: Workspace,
        registry: Registry,
        roles: HeldRoles,
        actor: Actor,
        change: Change,
        as_of_ms: int,
        now_ms: int,
        closes: uuid.UUID | None,
        decide: Decide,
    ) -> None:
        self._work = work
        self._registry = registry
        self._roles = roles
        self._actor = actor
        self._change = change
        self._as_of_ms = as_of_ms
        self._now_ms = now_ms
        self._closes = closes
        self._decide = decide
        self._concerned = Concerned(work, now_ms)

    async def settle(self, spec: RecordType[Any], draft: Draft, merged: Merged, patch: Mapping[str, Any]) -> None:
        """Carry out what a change of a conflict or refusal asks for, as a change by its author. Raises Refused."""
        change = refused = None
        if spec.name == "conflict":
            check_resolution(draft.fields, merged.fields, patch)
            change = self._resolution(draft, merged)
        elif spec.name == "refusal" and merged.before.get("state") == "open" and merged.fields["state"] == "applied":
            _check_unsettled(draft)
            refused = await self._work.change(uuid.UUID(draft.fields["change"]))
            change = self._refused_change(draft, refused)
        if change is not None:
            await self._carry_out(change, draft.id, refused)

    async def close(self, refusal: uuid.UUID) -> LoggedChange:
        """Close the refusal that this change settles; what was refused. First of all, so that whatever comes of the
        change, what was refused takes effect once. Raises Refused."""
        draft = await self._work.draft(refusal)
        of_record = draft and draft.type == "refusal" and draft.fields["record"] == str(self._change.record)
        if draft is None or not of_record or not self._roles.over(draft.scopes, self._as_of_ms):
            raise Refused("record_unknown", f"there is no refusal {refusal} of this record")
        if draft.fields["state"] != "open":
            raise Refused("refusal_closed", f"the refusal is {draft.fields['state']}")
        _check_unsettled(draft)
        refused = await self._work.change(uuid.UUID(draft.fields["change"]))
        closing = self._derived("settled", "refusal", refusal)
        await self._carry_out(self._by_author(closing, draft.version, msgspec.Raw(_pack({"state": "resent"}))))
        return refused

    async def take_along(self, spec: RecordType[Any], draft: Draft, was: tuple[str, ...]) -> None:
        """Let the open conflicts and refusals about a record that moved concern those it concerns now."""
        for item in await self._concerned.open_about(draft.id):
            if item.id == self._closes:
                continue
            concerns = await self._concerned.after_move(item, spec, was, draft.scopes)
            if concerns != item.fields["concerns"]:
                patch: dict[str, Any] = {"concerns": concerns}
                if not await self._concerned.may_work(self._registry.get(item.type), item.fields | patch, item.owner):
                    patch["assignee"] = None
                await self._amend("move", item, patch)

    async def close_all(self, deleted: Draft) -> None:
        """Close what is open about a record that was deleted: nobody could settle it any more."""
        for item in await self._concerned.open_about(deleted.id):
            if item.id != self._closes:
                await self._amend("deletion", item, {"state": CLOSED_BY_DELETION[item.type]})

    async def conflict(
        self,
        spec: RecordType[Any],
        draft: Draft,
        disputed: list[str],
        patch: Mapping[str, Any],
        settled: LoggedChange | None,
    ) -> uuid.UUID:
        """Make the conflict over the `disputed` fields, which this change, perhaps in the place of the refused change
        `settled`, leaves to people; its id."""
        history = [change_now(spec, one) for one in await self._work.history(draft.id) if one.type == spec.name]
        seen = min(self._change.base, settled.base) if settled else self._change.base
        base = base_values(history, draft.fields, seen, disputed)
        writers = writers_of(history, draft.marks, disputed)
        author = self._actor.user
        fields = conflict_fields(self._change, author, draft, base, writers, disputed, patch)
        others = {user for user in writers.values() if user is not None}
        fields["concerns"] = await self._concerned.concerned(spec, draft.scopes, others | {author})
        return await self._attend("conflict", fields)

    async def refusal(
        self, scopes: tuple[str, ...], fields: bytes, type_version: int, code: str, detail: str
    ) -> uuid.UUID:
        """Make the refusal of this change, whose `fields` are in the form of `type_version`; its id.

        `scopes` are those that the record would lie in, if there is none.
        """
        draft = await self._work.draft(self._change.record)
        content = _unpack(fields) if code != "change_too_large" else {}
        scopes = draft.scopes if draft else scopes
        if self._change.type in self._registry:
            spec = self._registry.get(self._change.type)
            scopes = scopes or spec.scopes(content, None)
            content = _for_all(spec, content, type_version)
        said = refusal_fields(self._change, self._actor.user, self._supervised(scopes), content, code, detail)
        return await self._attend("refusal", said | version_field(type_version))

    async def _amend(self, why: str, item: Draft, patch: dict[str, Any]) -> None:
        """Let the server change a conflict or refusal because of what became of its record."""
        change = self._derived(f"{why} of {item.id}", item.type, item.id)
        fields = msgspec.Raw(_pack(patch))
        await self._by_server(msgspec.structs.replace(change, base=item.version, fields=fields))

    async def _carry_out(
        self, change: Change, closes: uuid.UUID | None = None, refused: LoggedChange | None = None
    ) -> None:
        """Make a consequence of this change, which `closes` a conflict or refusal, by its author's authority; it may
        be what was `refused`.

        Raises Refused where that is.
        """
        logged = await self._decide(self._actor, change, closes, refused)
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
        if refused.type in FOR_PEOPLE:
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
            captured=self._change.captured,
            stamp=self._change.stamp,
        )

    def _supervised(self, scopes: tuple[str, ...]) -> list[str]:
        """Whose supervisors deal with a refusal: the record's, but for an outsider the author's own.

        An outsider is not to learn where a record lies, nor to fill the lists of those it belongs to.
        """
        own = [one for one in scopes if is_place(one) and self._roles.over((one,), self._as_of_ms)]
        held = grants_at(self._actor.grants, self._as_of_ms) or self._actor.grants
        return own or [grant.scope for grant in held if is_place(grant.scope)]

    async def _attend(self, kind: str, fields: dict[str, Any]) -> uuid.UUID:
        change = self._derived(kind, kind, derived_id(self._change.id, f"{kind} record"))
        await self._by_server(msgspec.structs.replace(change, fields=msgspec.Raw(_pack(fields))))
        return change.record

    async def _by_server(self, change: Change) -> None:
        await self._decide(SERVER, change, None, None)

    def _derived(self, purpose: str, record_type: str, record: uuid.UUID) -> Change:
        now = self._now_ms
        return Change(
            id=derived_id(self._change.id, purpose),
            seq=0,
            type=record_type,
            record=record,
            stamp=stamp_at(now),
            captured=Captured(now, now, 0),
            type_version=self._registry.forms.get(record_type, 1),
        )


def _check_unsettled(refusal: Draft) -> None:
    """Raise Refused where what a refusal holds was refused because what it came to settle was closed by then."""
    if refusal.fields["code"] == "refusal_closed":
        raise Refused("refusal_closed", "what it holds was settled before; it can only be dismissed")


def _for_all(spec: RecordType[Any], content: dict[str, Any], version: int) -> dict[str, Any]:
    """What of a content in the form of `version` everybody may read who may see the record; of a newer version's
    fields nobody knows."""
    names = spec.renamed({name: name for name in content}, version)
    is_newer = version > spec.version
    hidden = {now for now in names if now in spec.limited_fields or (is_newer and now not in spec.fields)}
    return {name: content[name] for now, name in names.items() if now not in hidden}
