"""Workflows as transition tables that a domain expert can review line by line."""

from collections.abc import Iterable

import msgspec

from field_schemas.access import Role


class Transition(msgspec.Struct, frozen=True):
    """From `source` to `target`, by any of `roles`."""

    source: str
    target: str
    roles: frozenset[Role]


class Workflow(msgspec.Struct, frozen=True):
    """The states a record begins in, and every legal step from one state to the next."""

    initial: frozenset[str]
    transitions: tuple[Transition, ...]

    def states(self) -> tuple[str, ...]:
        """All states, in the order the table names them first."""
        named = [*sorted(self.initial)]
        for step in self.transitions:
            named += [step.source, step.target]
        return tuple(dict.fromkeys(named))

    def allows(self, source: str | None, target: str, roles: Iterable[Role]) -> bool:
        """Whether one of `roles` may go from `source` (None: not yet created) to `target`."""
        held = frozenset(roles)
        if Role.SYSTEM in held:
            return target in self.states()
        if source is None:
            return target in self.initial
        return any(step.source == source and step.target == target and step.roles & held for step in self.transitions)

    def steps_from(self, source: str) -> tuple[str, ...]:
        """The states that can follow `source`."""
        return tuple(step.target for step in self.transitions if step.source == source)


def workflow(initial: str, *steps: tuple[str, str, frozenset[Role]]) -> Workflow:
    """A workflow from rows of (source, target, roles)."""
    return Workflow(frozenset({initial}), tuple(Transition(*step) for step in steps))
