"""What can go wrong in sync.

SyncError            a request is answered with a code, nothing of it is done
└── SequenceError    the device's numbering does not continue the server's; `expected` says where to go on
Refused              one change is refused; it becomes a verdict, never an exception to the client
"""


class SyncError(Exception):
    """A request that is answered with `code` of the catalogue; `detail` says what and where."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class SequenceError(SyncError):
    """`sequence_gap` or `sequence_reused`; `expected` is the sequence number to go on from."""

    def __init__(self, code: str, detail: str, expected: int) -> None:
        super().__init__(code, detail)
        self.expected = expected


class Refused(Exception):
    """One change is not to be applied, for the reason `code`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
