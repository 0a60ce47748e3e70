"""The algebra of the merge policies: what each promises, for any writes in any order."""

import itertools
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.access import FIELD_WORKERS, Access, Role
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type, type_of
from field_schemas.scopes import OF_OWNER
from field_schemas.workflow import workflow
from sync.errors import Refused
from sync.merge import CREATION, Mark, Merged, Write, merge

EVERYONE = Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS)
STEPS = workflow("a", ("a", "b", FIELD_WORKERS), ("b", "c", FIELD_WORKERS), ("a", "d", frozenset({Role.SUPERVISOR})))


@record_type("sample", zh="样品", en="Sample", scopes=(OF_OWNER,), access=EVERYONE)
class Sample(Record):
    """One field for each policy."""

    last: Annotated[int | None, Field("后", "Last")] = None
    first: Annotated[int | None, Field("先", "First", Policy.FIRST_WRITER)] = None
    server: Annotated[int | None, Field("服", "Server", Policy.SERVER_ONLY)] = None
    counter: Annotated[int, Field("计", "Counter", Policy.COUNTER)] = 0
    elements: Annotated[list[str], Field("集", "Elements", Policy.SET)] = []
    entries: Annotated[list[int], Field("列", "Entries", Policy.APPEND)] = []
    most: Annotated[int | None, Field("大", "Most", Policy.MAXIMUM)] = None
    least: Annotated[int | None, Field("小", "Least", Policy.MINIMUM)] = None
    state: Annotated[str, Field("态", "State", Policy.WORKFLOW, STEPS)] = "a"
    review: Annotated[int | None, Field("审", "Review", Policy.REVIEW)] = None


SPEC = type_of(Sample)
DEVICES = ["a", "b", "c", "d"]
NEW = Merged({"state": "a"}, {CREATION: Mark(1, 1, "maker")}, {}, False, [])


def by(stamp: int, device: str, base: int, version: int, *roles: Role) -> Write:
    return Write(stamp, device, base, version, frozenset(roles or (Role.INSPECTOR,)))


def apply(state: Merged, patch: dict[str, Any], write: Write) -> Merged:
    return merge(SPEC, state.fields, state.marks, patch, write)


def arrive(writes: list[tuple[str, int, Any]], field: str) -> Any:
    """Merge concurrent writes (device, stamp, operand), none having seen another, in this order of arrival."""
    state = NEW
    for version, (device, stamp, operand) in enumerate(writes, start=2):
        state = apply(state, {field: operand}, by(stamp, device, 1, version))
    return state.fields.get(field)


def concurrent(operands: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[str, int, Any]]]:
    """Up to four writes, each of another device."""
    return st.lists(
        st.tuples(st.sampled_from(DEVICES), st.integers(2, 5), operands), max_size=4, unique_by=lambda w: w[0]
    )


INTEGERS = st.integers(-9, 9)
COMMUTING = {
    "last": INTEGERS,
    "first": st.integers(1, 9),
    "counter": INTEGERS,
    "elements": st.fixed_dictionaries({}, optional={"add": st.lists(st.sampled_from("xyz"), max_size=2)}),
    "entries": st.lists(INTEGERS, max_size=3),
    "most": INTEGERS,
    "least": INTEGERS,
}


@pytest.mark.parametrize("field", COMMUTING)
@given(data=st.data())
def test_order_of_arrival_does_not_matter(field: str, data: st.DataObject) -> None:
    """Concurrent writes give the same value in whatever order they arrive."""
    writes = data.draw(concurrent(COMMUTING[field]))
    results = [arrive(list(order), field) for order in itertools.permutations(writes)]
    assert all(result == results[0] for result in results)


@given(concurrent(INTEGERS))
def test_last_writer_is_the_latest(writes: list[tuple[str, int, int]]) -> None:
    """Of concurrent values the one with the largest (stamp, device) stands."""
    expected = max(writes, key=lambda w: (w[1], w[0]))[2] if writes else None
    assert arrive(writes, "last") == expected


@given(concurrent(INTEGERS))
def test_counter_adds_all(writes: list[tuple[str, int, int]]) -> None:
    """No increment is lost."""
    assert (arrive(writes, "counter") or 0) == sum(w[2] for w in writes)


@given(concurrent(st.lists(INTEGERS, max_size=3)))
def test_append_keeps_all(writes: list[tuple[str, int, list[int]]]) -> None:
    """No entry is lost, and entries stand in the order of their stamps."""
    ordered = [entry for w in sorted(writes, key=lambda w: (w[1], w[0])) for entry in w[2]]
    assert (arrive(writes, "entries") or []) == ordered


@given(concurrent(INTEGERS))
def test_extremes(writes: list[tuple[str, int, int]]) -> None:
    """Maximum and minimum keep the extreme of everything written."""
    values = [w[2] for w in writes]
    assert arrive(writes, "most") == max(values, default=None)
    assert arrive(writes, "least") == min(values, default=None)


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_later_knowledge_wins(first: int, second: int) -> None:
    """Who has seen a value replaces it, whatever the stamps say."""
    state = apply(NEW, {"last": first}, by(100, "a", 1, 2))
    state = apply(state, {"last": second}, by(5, "b", 2, 3))
    assert state.fields.get("last") == second
    assert not state.combined


def test_add_wins_over_concurrent_remove() -> None:
    """An element added by one while another removes it stays."""
    state = apply(NEW, {"elements": {"add": ["x"]}}, by(2, "a", 1, 2))
    state = apply(state, {"elements": {"add": ["x"]}}, by(3, "b", 2, 3))
    state = apply(state, {"elements": {"remove": ["x"]}}, by(4, "c", 2, 4))
    assert state.fields["elements"] == ["x"]


def test_remove_of_what_was_seen() -> None:
    """An element that the remover had seen goes."""
    state = apply(NEW, {"elements": {"add": ["x", "y"]}}, by(2, "a", 1, 2))
    state = apply(state, {"elements": {"remove": ["x"]}}, by(3, "b", 2, 3))
    assert state.fields["elements"] == ["y"]


def test_first_writer_is_final() -> None:
    """Who has seen a first-writer value cannot change it."""
    state = apply(NEW, {"first": 1}, by(2, "a", 1, 2))
    with pytest.raises(Refused) as caught:
        apply(state, {"first": 2}, by(3, "b", 2, 3))
    assert caught.value.code == "already_set"


def test_server_only() -> None:
    """A device cannot write what only the server fills; the server can."""
    with pytest.raises(Refused) as caught:
        apply(NEW, {"server": 1}, by(2, "a", 1, 2))
    assert caught.value.code == "field_server_only"
    assert apply(NEW, {"server": 1}, by(2, "a", 1, 2, Role.SYSTEM)).fields["server"] == 1


@given(concurrent(INTEGERS), st.sampled_from([role for role in Role if role is not Role.SYSTEM]))
def test_nobody_but_the_server_writes_what_only_it_fills(writes: list[tuple[str, int, int]], role: Role) -> None:
    """Whatever devices try, by whatever role, a field the server fills holds what the server wrote last."""
    state = apply(NEW, {"server": 7}, by(2, "server", 1, 2, Role.SYSTEM))
    for version, (device, stamp, value) in enumerate(writes, start=3):
        with pytest.raises(Refused) as caught:
            apply(state, {"server": value}, by(stamp, device, 1, version, role))
        assert caught.value.code == "field_server_only"
        state = apply(state, {"server": value}, by(stamp, device, 1, version, Role.SYSTEM))
        assert state.fields["server"] == value
        assert not state.combined


@pytest.mark.parametrize(("steps", "end"), [(["b"], "b"), (["b", "c"], "c"), (["b", "b"], "b")])
def test_legal_transitions(steps: list[str], end: str) -> None:
    """A workflow follows its table; the same step twice is one step."""
    state = NEW
    for version, step in enumerate(steps, start=2):
        state = apply(state, {"state": step}, by(version, "a", 1, version))
    assert state.fields["state"] == end


@pytest.mark.parametrize("target", ["c", "d", "z"])
def test_illegal_transitions(target: str) -> None:
    """A step the table does not have, or not for this role, is refused."""
    with pytest.raises(Refused) as caught:
        apply(NEW, {"state": target}, by(2, "a", 1, 2))
    assert caught.value.code == "transition_illegal"


def test_transition_from_where_it_stands() -> None:
    """A step is judged from the state the record is in by then, not the one its author saw."""
    state = apply(NEW, {"state": "b"}, by(2, "a", 1, 2))
    state = apply(state, {"state": "c"}, by(3, "b", 1, 3))
    assert state.fields["state"] == "c"
    assert state.combined


@given(st.lists(st.tuples(st.sampled_from("abcdz"), st.integers(1, 9), st.booleans()), max_size=6))
def test_a_workflow_only_takes_steps_of_its_table(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever is tried on whatever base, a state is left only by a step of the table that the author's role may
    take; what is refused changes nothing, and staying where it stands is always taken."""
    state = NEW
    for version, (target, base, is_supervisor) in enumerate(steps, start=2):
        write = by(version, target, base, version, Role.SUPERVISOR if is_supervisor else Role.INSPECTOR)
        stands = state.fields["state"]
        if target == stands or STEPS.allows(stands, target, write.roles):
            state = apply(state, {"state": target}, write)
            assert state.fields["state"] == target
            assert state.before == ({} if target == stands else {"state": stands})
        else:
            with pytest.raises(Refused):
                apply(state, {"state": target, "last": 1}, write)


def test_default_is_where_a_workflow_starts() -> None:
    """A record stored without a state is in the default one."""
    bare = Merged({}, NEW.marks, {}, False, [])
    assert apply(bare, {"state": "b"}, by(2, "a", 1, 2)).fields["state"] == "b"


def test_review_of_different_values() -> None:
    """Concurrent different values are disputed, and the standing one stays."""
    state = apply(NEW, {"review": 1}, by(2, "a", 1, 2))
    state = apply(state, {"review": 2}, by(3, "b", 1, 3))
    assert (state.fields["review"], state.disputed) == (1, ["review"])


@given(concurrent(INTEGERS))
def test_review_loses_no_concurrent_value(writes: list[tuple[str, int, int]]) -> None:
    """Of concurrent values the first to arrive stands until a person decides; each other one is disputed, and one
    that is the same is not."""
    state = NEW
    for version, (device, stamp, value) in enumerate(writes, start=2):
        state = apply(state, {"review": value}, by(stamp, device, 1, version))
        assert state.disputed == ([] if value == writes[0][2] else ["review"])
        assert state.fields["review"] == writes[0][2]


@given(st.lists(INTEGERS, max_size=5))
def test_review_of_what_was_seen(values: list[int]) -> None:
    """Who has seen what stands replaces it without dispute, whoever wrote it."""
    state = NEW
    for version, value in enumerate(values, start=2):
        state = apply(state, {"review": value}, by(100 - version, DEVICES[version % 4], version - 1, version))
        assert (state.fields["review"], state.disputed, state.combined) == (value, [], False)


def test_inputs_stay_untouched() -> None:
    """Merging never changes what it was given."""
    state = apply(NEW, {"elements": {"add": ["x"]}, "entries": [1]}, by(2, "a", 1, 2))
    before = msgspec.msgpack.encode([state.fields, state.marks])
    apply(state, {"elements": {"remove": ["x"]}, "entries": [2], "counter": 1}, by(3, "a", 2, 3))
    assert msgspec.msgpack.encode([state.fields, state.marks]) == before


@given(st.permutations(["last", "first", "counter", "most", "review"]))
def test_fields_do_not_touch_each_other(order: list[str]) -> None:
    """Concurrent changes of different fields give the same record in any order, without dispute."""
    state = NEW
    for version, field in enumerate(order, start=2):
        state = apply(state, {field: 5}, by(version, field, 1, version))
        assert not state.combined
        assert not state.disputed
    assert all(state.fields[field] == 5 for field in order)


@given(st.integers(1, 9), st.integers(1, 9))
def test_before_tells_what_changed(first: int, second: int) -> None:
    """`before` holds the old value of each field that really changed, and of no other."""
    state = apply(NEW, {"last": first}, by(2, "a", 1, 2))
    state = apply(state, {"last": second}, by(3, "a", 2, 3))
    assert state.before == ({} if first == second else {"last": first})
