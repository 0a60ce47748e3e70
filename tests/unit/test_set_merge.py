"""Set fields: an add wins over a concurrent remove, a remove takes what its author knew, in any order of arrival."""

import itertools
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from sync.merge import CREATION, Mark, Merged, Write, merge
from sync.messages import Verdict
from tests.unit.builders import REGISTRY, Office, component, inspector, new_id, supervisor

SPEC = REGISTRY.get("component")
NEW = Merged({}, {CREATION: Mark(1, 1, "maker")}, {}, False, [])
DEVICES = "abc"
ELEMENTS = st.lists(st.sampled_from("xy"), min_size=1, unique=True)
OPERANDS = st.dictionaries(st.sampled_from(["add", "remove"]), ELEMENTS, min_size=1)
ADD, REMOVE = {"add": ["x"]}, {"remove": ["x"]}
LATEST = 2**53 - 1


class Act(msgspec.Struct, frozen=True):
    """One device's write, and up to which version it had pulled by then."""

    device: str
    seen: int
    operand: dict[str, list[str]]


@st.composite
def lives(draw: st.DrawFn) -> list[Act]:
    """Writes in their order of arrival; nobody unlearns what was pulled, nor has pulled what is not there yet."""
    pulled = dict.fromkeys(DEVICES, 1)
    acts = []
    for version in range(2, draw(st.integers(2, 9))):
        device = draw(st.sampled_from(DEVICES))
        pulled[device] = draw(st.integers(pulled[device], version - 1))
        acts.append(Act(device, pulled[device], draw(OPERANDS)))
    return acts


def merged(acts: list[Act]) -> list[str]:
    """What the server makes of it."""
    state = NEW
    for version, act in enumerate(acts, start=2):
        write = Write(version, act.device, act.seen, version, frozenset())
        state = merge(SPEC, state.fields, state.marks, {"tags": act.operand}, write)
    return list(state.fields.get("tags", []))


def knew(acts: list[Act], one: int, other: int) -> bool:
    """Whether the author of act `one` knew act `other`: had pulled it, or made it before on the same device."""
    return other + 2 <= acts[one].seen or (other < one and acts[other].device == acts[one].device)


@given(lives())
def test_a_set_holds_what_nobody_who_knew_it_removed(acts: list[Act]) -> None:
    """An element stands exactly if some add of it was known to no later remove of it."""
    adds = [(n, element) for n, act in enumerate(acts) for element in act.operand.get("add", ())]

    def removed(number: int, element: str) -> bool:
        removers = [n for n, act in enumerate(acts) if element in act.operand.get("remove", ())]
        return any(knew(acts, n, number) for n in removers)

    assert merged(acts) == sorted({element for n, element in adds if not removed(n, element)})


@example([[ADD], [ADD, REMOVE], []])
@given(st.lists(st.lists(OPERANDS, max_size=2), min_size=3, max_size=3))
def test_adds_and_removes_in_any_order_of_arrival(work: list[list[dict[str, Any]]]) -> None:
    """Devices that knew nothing of each other leave the same set whoever's writes arrive first."""
    owners = [number for number, own in enumerate(work) for _ in own]
    results = set()
    for order in set(itertools.permutations(owners)):
        left = [list(own) for own in work]
        results.add(tuple(merged([Act(DEVICES[one], 1, left[one].pop(0)) for one in order])))
    assert len(results) == 1


async def apply(office: Office, refused: Verdict) -> None:
    """Let a supervisor apply the change."""
    assert refused.attention is not None
    await office.write(supervisor(), "refusal", refused.attention, {"state": "applied"}, base=LATEST)


async def test_a_refused_remove_applied_after_the_element_was_added_again() -> None:
    """A remove that a supervisor applies late takes nothing that its device added after it."""
    office, li, record = Office(), inspector("li"), new_id()
    made = await office.write(supervisor(), "component", record, component(tags={"add": ["rust", "loose"]}))
    remove = {"tags": {"remove": ["rust", "loose"]}, "responsible": "shop"}
    refused = await office.write(li, "component", record, remove, base=made.version)
    await office.write(li, "component", record, {"tags": {"add": ["rust"]}}, base=made.version)
    await apply(office, refused)
    assert (await office.fields(record))["tags"] == ["rust"]


async def test_a_refused_remove_takes_what_its_device_had_added_before() -> None:
    """A remove that a supervisor applies late takes what its device had added just before it."""
    office, li, record = Office(), inspector("li"), new_id()
    made = await office.write(supervisor(), "component", record, component())
    await office.write(li, "component", record, {"tags": {"add": ["rust"]}}, base=made.version)
    remove = {"tags": {"remove": ["rust"]}, "responsible": "shop"}
    refused = await office.write(li, "component", record, remove, base=made.version)
    await apply(office, refused)
    assert (await office.fields(record))["tags"] == []


async def test_a_refused_remove_resent_after_the_element_was_added_again() -> None:
    """A remove that is sent again as it was takes nothing that its device added after it."""
    office, li, record = Office(), inspector("li"), new_id()
    made = await office.write(supervisor(), "component", record, component(tags={"add": ["rust", "loose"]}))
    remove = {"tags": {"remove": ["rust", "loose"]}}
    refused = await office.write(li, "component", record, remove | {"responsible": "shop"}, base=made.version)
    await office.write(li, "component", record, {"tags": {"add": ["rust"]}}, base=made.version)
    await office.write(li, "component", record, remove, base=made.version, settles=refused.attention)
    assert (await office.fields(record))["tags"] == ["rust"]


async def test_refused_work_resent_in_its_order() -> None:
    """A refused remove that is sent again after the refused add before it takes what that added."""
    office, li, record = Office(), inspector("li"), new_id()
    made = await office.write(supervisor(), "component", record, component())
    acts = [{"tags": ADD}, {"tags": REMOVE}]
    refused = [
        await office.write(li, "component", record, act | {"responsible": "shop"}, base=made.version) for act in acts
    ]
    for act, verdict in zip(acts, refused, strict=True):
        await office.write(li, "component", record, act, base=made.version, settles=verdict.attention)
    assert (await office.fields(record))["tags"] == []
