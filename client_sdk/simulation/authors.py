"""Who wrote, and what they knew: as the oracle reads it from the log."""

from typing import Any, NamedTuple

import msgspec

from client_sdk.simulation.programs import as_newest
from sync.authority import SERVER_USER
from sync.clock import stamp_at
from sync.storage import LoggedChange


class Last(NamedTuple):
    """Who wrote a field last, or added an element; `made` is the stamp as it was sent."""

    version: int
    stamp: int
    device: str
    made: int


class Rests(NamedTuple):
    """What a change rests on: what was `refused` and is made by it after all, the refused change that it `corrects`,
    the version that was made by the change it takes back (`undone`, None where it takes none back)."""

    refused: LoggedChange | None = None
    corrects: LoggedChange | None = None
    undone: int | None = None


class Known(NamedTuple):
    """What an author knew: everything up to version `base`, and what the own device had written before `stamp` (None:
    everything of its)."""

    base: int
    stamp: int | None = None

    def unseen(self, last: Last, write: Last) -> bool:
        """Whether the author of `write` had not seen what `last` left."""
        came_first = self.stamp is not None and last.made > self.stamp
        return last.version > self.base and (last.device != write.device or came_first)


def by_server(change: LoggedChange) -> bool:
    """Whether the server made a change, of its own or as a consequence of somebody's."""
    return change.user == SERVER_USER or change.seq == 0


def patch_of(change: LoggedChange) -> dict[str, Any]:
    """What a change set, as the newest program has it."""
    return as_newest(change.type, msgspec.msgpack.decode(change.fields), change.type_version)


def write_of(change: LoggedChange, rests: Rests) -> Last:
    """What a change leaves where it writes."""
    refused = rests.refused
    # The server writes for many: no write of its has seen another.
    writer = refused.device if refused else change.id if by_server(change) else change.device
    stamp = min(change.stamp, stamp_at((refused or change).received_ms + 1))
    # What was refused and is sent again was written when it was refused.
    made = (rests.corrects or change).stamp
    return Last(change.version, stamp, str(writer), made)


def known_to_author(name: str, operand: Any, change: LoggedChange, rests: Rests) -> Known:
    """What whoever set a field knew; then, where it is sent again as it was refused, or made after all."""
    if rests.refused is not None:
        return Known(change.base, rests.refused.stamp)
    corrects = rests.corrects
    if corrects is not None and corrects.type == change.type:
        then = patch_of(corrects)
        if name in then and then[name] == operand:
            return Known(min(corrects.base, change.base), corrects.stamp)
    return Known(change.base)
