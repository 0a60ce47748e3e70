"""What can go wrong in sync.

SyncError            a request is answered with a code, nothing of it is done
├── ContentsSetBack  a reader knows more than there is: the contents went back to an older state behind all backs
├── SequenceError    the device's numbering does not continue the server's; `expected` says where to go on
└── ChangeUnknown    the log lacks a change; `change` says which
Refused              one change is refused; it becomes a verdict, never an exception to the client
"""

import uuid


class SyncError(Exception):
    """A request that is answered with `code` of the catalogue; `detail` says what and where."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ContentsSetBack(SyncError):
    """`epoch_changed`, though nobody said so: for this reader the contents are others than those it has read."""

    def __init__(self, detail: str) -> None:
        super().__init__("epoch_changed", detail)


class SequenceError(SyncError):
    """`sequence_gap` or `sequence_reused`; `expected` is the sequence number to go on from."""

    def __init__(self, code: str, detail: str, expected: int) -> None:
        super().__init__(code, detail)
        self.expected = expected


class ChangeUnknown(SyncError):
    """`change_unknown`; `change` is the one that the server does not have."""

    def __init__(self, change: uuid.UUID, user: str) -> None:
        super().__init__("change_unknown", f"there is no change {change} of {user}")
        self.change = change


class Refused(Exception):
    """One change is not to be applied, for the reason `code`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
