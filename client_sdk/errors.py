"""What can go wrong on a device.

DeviceError
├── Offline         the server cannot be reached or is busy: nothing is lost, try again later
├── Rejected        the server answered a request with a code
│   ├── SignInNeeded  only the user can help, by signing in again
│   └── TooOld        the app must be updated; everything that waited was sent before
├── ReceiptInvalid  the server's receipt does not match what this device did, or is not signed by the server
├── Wiped           the device was revoked: everything was sent, then removed from this store
├── NotAllowed      a local write breaks a rule about who may do what: nothing is stored
├── Invalid         a local write breaks the record type's declaration: nothing is stored
├── UnsentWork      another user cannot take over a store that holds unsent work
├── StoreInUse      another process has the store open
├── StoreTooNew     a newer version of the program wrote the store; it is left as it is
├── StoreDamaged    the store's file turned out damaged; opening it again rescues what can be rescued
└── StoreUnusable   the machine lets the store's file be neither opened nor written: what it holds stays
    └── StorageFull   there is no room left: nothing of the call was stored, all before it was
"""

import uuid


class DeviceError(Exception):
    """Base of all errors the SDK raises itself."""


class Offline(DeviceError):
    """The server could not be reached, or asked to be left alone for `retry_after_s` seconds; `code` says why."""

    def __init__(self, detail: str, retry_after_s: float | None = None, code: str = "") -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.code = code


class _Coded(DeviceError):
    """An error with a `code` of the catalogue (field_schemas.codes); `detail` says what and where."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Rejected(_Coded):
    """The server answered with a problem. `expected` is the sequence number to go on from, `change` the change that
    it is about, where it says so."""

    def __init__(self, code: str, detail: str, expected: int | None = None, change: uuid.UUID | None = None) -> None:
        super().__init__(code, detail)
        self.expected = expected
        self.change = change


class SignInNeeded(Rejected):
    """The session is over, or there was none."""


class TooOld(Rejected):
    """The server serves newer apps only. All that waited to be sent has been taken before this is raised."""


class ReceiptInvalid(_Coded):
    """A receipt proves nothing: another key signed it, or it is about something else than this device did."""

    def __init__(self, detail: str) -> None:
        super().__init__("receipt_invalid", detail)


class Wiped(DeviceError):
    """The server has revoked this device. Its work was sent; records, tokens and key are gone from the store."""


class NotAllowed(_Coded):
    """The user's roles, or a workflow, do not allow the write."""


class Invalid(_Coded):
    """The write does not fit the record type."""


class StoreTooNew(DeviceError):
    """A newer version of this program wrote the store: update the program. Nothing in the store was touched."""


class UnsentWork(DeviceError):
    """`count` changes and photos of `user` are not on the server; another user could not send them.

    Photos that the server refuses count too: `give_up_media` is for those that are not needed.
    """

    def __init__(self, user: str, count: int) -> None:
        super().__init__(f"{count} changes or photos of {user} are not on the server; {user} must sync first")
        self.user = user
        self.count = count


class StoreInUse(DeviceError):
    """The store's file is open elsewhere."""


class StoreDamaged(DeviceError):
    """The store's file cannot be read."""


class StoreUnusable(DeviceError):
    """The store's file cannot be opened or written: there is no such folder, or no right to write in it."""


class StorageFull(StoreUnusable):
    """The device has no room left. Nothing of the call was stored; what was stored before stays, and can be sent."""
