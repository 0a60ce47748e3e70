"""The index of texts follows a snapshot, in steps: indexing costs as much as all else that loading does.

Which rows are not in it yet is noted in the transaction that stores them, and advanced with each step.
"""

from client_sdk.store.meta import Unindexed
from client_sdk.store.thread import Tables

_STEP = 2_000
"""Rows a step: 30 ms of a slow machine's processor, for which a local write may have to wait."""


def leave_for_later(tables: Tables, after: int, last: int) -> None:
    """The texts of the rows past `after` up to `last` are still to be indexed."""
    left = tables.meta.unindexed
    tables.meta.unindexed = Unindexed(left.after if left else after, last)


def index_some(tables: Tables, goal: int) -> bool:
    """Index the texts of the next rows; whether some up to row `goal` are left."""
    left = tables.meta.unindexed
    if left is None or left.after >= goal:
        return False
    reached = tables.records.index_texts(left.after, left.last, _STEP)
    tables.meta.unindexed = Unindexed(reached, left.last) if reached < left.last else None
    return reached < goal
