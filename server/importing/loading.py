"""Records to be into the store: compared with what stands there, and written through the one write path."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from field_schemas.codes import CODES
from field_schemas.record import FieldError, RecordType
from field_schemas.registry import Registry
from server.importing.comparing import Standing, creation, difference, known_to_source
from server.importing.plan import Item
from server.importing.problems import BadRow, RowProblem, bad_row
from sync.authority import SERVER
from sync.clock import Captured, Milliseconds, stamp_at
from sync.decision import Submission
from sync.errors import SyncError
from sync.ids import RandomBytes, uuid7
from sync.messages import Change, Outcome, Verdict
from sync.push import push
from sync.storage import Collision, Store, StoredRecord, WriteTransaction

BATCH = 1_000
"""Rows of one transaction."""
_COLLISIONS = 5
_FIELD_IN_ERROR = re.compile(r"`\$\.(\w+)")
_SET = "set"


class Counts(msgspec.Struct):
    """What became of the rows. `kept` rows differ from their records only where people edited these."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    kept: int = 0
    conflicts: int = 0
    bad: int = 0

    def add(self, other: "Counts") -> None:
        """Count what `other` counted as well."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class _RollBack(Exception):
    """Ends a rehearsal: the transaction leaves no trace."""


class Loader:
    """Loads records of one type, a transaction a call. A rehearsal decides everything and writes nothing."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        spec: RecordType[Any],
        now_ms: Milliseconds,
        random_bytes: RandomBytes,
        report: Callable[[BadRow], None],
        rehearse: bool = False,
    ) -> None:
        self._store = store
        self._registry = registry
        self._spec = spec
        self._now_ms = now_ms
        self._random = random_bytes
        self._report = report
        self._rehearse = rehearse

    async def load(self, items: Sequence[Item]) -> Counts:
        """Create, update or leave alone the records of `items`; bad ones go to the report."""
        ready: list[tuple[Item, dict[str, Any]]] = []
        counts = Counts()
        for item in items:
            try:
                ready.append((item, wanted_fields(self._spec, item.fields)))
            except RowProblem as problem:
                self._report(bad_row(item.number, item.key, problem))
                counts.bad += 1
        for attempt in range(_COLLISIONS):
            try:
                counts.add(await self._transact(ready))
                break
            except Collision:
                if attempt == _COLLISIONS - 1:
                    raise
        return counts

    async def _transact(self, ready: Sequence[tuple[Item, dict[str, Any]]]) -> Counts:
        batch = _Batch(self._spec, self._now_ms(), self._random)
        try:
            async with self._store.writing() as tx:
                stored = await tx.lock_records(sorted({item.id for item, _ in ready}))
                for item, wanted in ready:
                    await batch.decide(tx, item, wanted, stored.get(item.id))
                await self._push(tx, batch)
                if self._rehearse:
                    raise _RollBack
        except _RollBack:
            pass
        for row in batch.bad:
            self._report(row)
        return batch.counts

    async def _push(self, tx: WriteTransaction, batch: "_Batch") -> None:
        if not batch.changes:
            return
        submission = Submission(SERVER, batch.changes, batch.now_ms)
        for answer in await push(tx, self._registry, [submission]):
            if isinstance(answer, SyncError):
                raise answer
            batch.count(answer.verdicts)


class _Batch:
    """One transaction's rows on their way."""

    def __init__(self, spec: RecordType[Any], now_ms: int, random_bytes: RandomBytes) -> None:
        self.spec = spec
        self.now_ms = now_ms
        self.random = random_bytes
        self.changes: list[Change] = []
        self.rows: list[tuple[Item, bool]] = []
        self.counts = Counts()
        self.bad: list[BadRow] = []

    async def decide(
        self, tx: WriteTransaction, item: Item, wanted: dict[str, Any], stored: StoredRecord | None
    ) -> None:
        """Make the change that this row needs, if any."""
        if stored is None:
            if missing := self.spec.required - wanted.keys():
                name = min(missing)
                self.refuse(item, RowProblem(name, "field_missing", f"缺少 {name}", f"{name} is empty"))
            else:
                self._change(item, creation(self.spec, wanted), 0, is_new=True)
        elif stored.deleted:
            self.refuse(item, coded_problem("", "record_deleted", f"{stored.type} {stored.id}"))
        elif stored.type != self.spec.name:
            self.refuse(item, coded_problem("", "type_mismatch", f"{stored.id} is a {stored.type}"))
        else:
            await self._update(tx, item, wanted, Standing.of(self.spec, stored))

    async def _update(self, tx: WriteTransaction, item: Item, wanted: dict[str, Any], standing: Standing) -> None:
        if not (step := difference(self.spec, wanted, standing.fields, {})):
            self.counts.unchanged += 1
            return
        base = standing.version
        fresh = standing.is_as_imported() if item.base is None else standing.is_unchanged_since(item.base)
        if not fresh:
            known = known_to_source(self.spec, standing, await tx.history(item.id), item.base)
            step, base = difference(self.spec, wanted, standing.fields, known.fields), known.version
        if step:
            self._change(item, step, base)
        else:
            self.counts.kept += 1

    def _change(self, item: Item, operands: dict[str, Any], base: int, *, is_new: bool = False) -> None:
        change = Change(
            id=uuid7(self.now_ms, self.random),
            seq=0,
            type=self.spec.name,
            record=item.id,
            stamp=stamp_at(self.now_ms),
            captured=Captured(self.now_ms, self.now_ms, 0),
            fields=msgspec.Raw(msgspec.msgpack.encode(operands)),
            base=base,
            type_version=self.spec.version,
        )
        self.changes.append(change)
        self.rows.append((item, is_new))

    def refuse(self, item: Item, problem: RowProblem) -> None:
        """Put the row among the bad ones."""
        self.bad.append(bad_row(item.number, item.key, problem))
        self.counts.bad += 1

    def count(self, verdicts: Sequence[Verdict]) -> None:
        """Take note of what became of the changes."""
        for (item, is_new), verdict in zip(self.rows, verdicts, strict=True):
            if verdict.outcome is Outcome.REFUSED:
                code = verdict.code or "value_invalid"
                self.refuse(item, coded_problem("", code, verdict.detail or ""))
            elif verdict.outcome is Outcome.CONFLICT:
                self.counts.conflicts += 1
            elif is_new:
                self.counts.created += 1
            else:
                self.counts.updated += 1


def wanted_fields(spec: RecordType[Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The operands, in canonical form, of all that a row says. Raises RowProblem.

    What a row leaves empty is None where the field may be, and is left out otherwise.
    """
    given = {
        name: {"add": value} if spec.fields[name].policy == _SET else value
        for name, value in fields.items()
        if value is not None or (name in spec.defaults and spec.defaults[name] is None)
    }
    try:
        patch = spec.canonical_patch(msgspec.json.encode(given), as_json=True)
    except FieldError as error:
        found = _FIELD_IN_ERROR.search(error.detail)
        raise coded_problem(found[1] if found else "", error.code, error.detail) from error
    wanted: dict[str, Any] = msgspec.msgpack.decode(patch)
    return wanted


def coded_problem(field: str, code: str, detail: str) -> RowProblem:
    """A problem in the words of the catalogue, with what is special about it."""
    title = CODES[code].title
    return RowProblem(field, code, f"{title.zh}：{detail}", f"{title.en}: {detail}")
