"""Whom a conflict or refusal concerns, by the grants people hold now: when it is made, moved with its record, or
given to somebody."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from field_schemas.access import Role, grants_at, roles_in, with_implied
from field_schemas.record import RecordType
from field_schemas.scopes import scopes_of
from sync.authority import SERVER_USER
from sync.draft import Draft, Workspace
from sync.errors import Refused
from sync.ids import by_number

_PERSON = "person:"
_THE_SERVER = f"{_PERSON}{SERVER_USER}"


class Concerned:
    """Judges by the grants that hold at one moment."""

    def __init__(self, work: Workspace, now_ms: int) -> None:
        self._work = work
        self._now_ms = now_ms

    async def readers(self, spec: RecordType[Any], scopes: tuple[str, ...], users: Iterable[str]) -> set[str]:
        """Those of `users` who may read a record of type `spec` that lies in `scopes`, as scopes."""
        return {f"{_PERSON}{user}" for user in users if await self._roles(user, scopes) & spec.access.read}

    async def concerned(self, spec: RecordType[Any], scopes: tuple[str, ...], users: Iterable[str]) -> list[str]:
        """Whom a conflict about a record of type `spec` that lies in `scopes` concerns: its places, and those of
        `users` and of whom the record itself concerns who may read it."""
        people = {scope for scope in scopes if scope.startswith(_PERSON)}
        named = {scope.removeprefix(_PERSON) for scope in people}
        found = {*scopes} - people | await self.readers(spec, scopes, named.union(users))
        # The server itself is nobody whom it concerns.
        return sorted(found - {_THE_SERVER}) or [_THE_SERVER]

    async def open_about(self, record: uuid.UUID) -> list[Draft]:
        """The open conflicts and refusals about a record, found by the record's history."""
        history = await self._work.history(record)
        ids = {change.attention for change in history if change.attention is not None}
        await self._work.load(ids)
        drafts = [await self._work.draft(one) for one in sorted(ids, key=by_number)]
        return [draft for draft in drafts if draft is not None and draft.fields.get("state") == "open"]

    async def after_move(
        self, item: Draft, spec: RecordType[Any], was: tuple[str, ...], now: tuple[str, ...]
    ) -> list[str]:
        """Whom an open conflict or refusal concerns whose record, of type `spec`, moved from scopes `was` to `now`.

        It follows its record. Who wrote one of the values, or whom the record itself concerns, and may not read it
        where it lies now loses a conflict; of a refusal, which holds the author's own words, the author is told, and
        the supervisors of the places where the author may read the record, or else of what the author has still.
        """
        concerns = set(item.fields["concerns"])
        if item.type == "conflict":
            writers = {row["standing_by"] for row in item.fields["differences"]} | {item.fields["offered_by"]}
            return await self.concerned(spec, now, writers - {None})
        author = item.fields["author"]
        if concerns.isdisjoint(place for place in was if is_place(place)):
            return sorted(concerns)
        own = [place for place in now if is_place(place) and await self.readers(spec, (place,), [author])]
        if not own:
            held = grants_at(await self._work.tx.grants_of(author), self._now_ms)
            own = [grant.scope for grant in held if is_place(grant.scope)]
        return sorted({*own, f"person:{author}"})

    async def check_assignee(self, spec: RecordType[Any], fields: Mapping[str, Any], owner: str | None) -> None:
        """Raise Refused unless whom a record with these `fields` is given to could work on it, now or soon."""
        if not await self.may_work(spec, fields, owner):
            raise Refused("assignee_denied", f"{fields[spec.assigned or '']} may not deal with this {spec.name}")

    async def may_work(self, spec: RecordType[Any], fields: Mapping[str, Any], owner: str | None) -> bool:
        """Whether a record with these `fields` is given to nobody, or to somebody who may change it for more than its
        being given: where it lies, or as the own work. Grants to come count: work is planned ahead."""
        user: str | None = fields.get(spec.assigned or "")
        if user is None:
            return True
        grants = await self._work.tx.grants_of(user)
        held = with_implied(tuple(one for one in grants if one.ends_after(self._now_ms)), user)
        places = scopes_of(tuple(rule for rule in spec.scope_rules if not rule.assigned), fields, owner)
        roles = roles_in(held, places) | roles_in(held, (f"person:{user}",)) - {Role.SELF}
        return bool(roles & spec.access.write)

    async def _roles(self, user: str, scopes: tuple[str, ...]) -> frozenset[Role]:
        held = grants_at(await self._work.tx.grants_of(user), self._now_ms)
        return roles_in(with_implied(held, user), scopes)


def is_place(scope: str) -> bool:
    """Whether a scope is an area, department or case, which has supervisors; not a person, not everybody."""
    return not scope.startswith(("person:", "all:"))
