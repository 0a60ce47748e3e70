"""The device SDK: a local store, typed records, offline work, sync."""

from client_sdk.attending import OFFERED, STANDING, Side
from client_sdk.batch import Batch
from client_sdk.clocks import Clocks, system_clocks
from client_sdk.device import Device
from client_sdk.errors import (
    DeviceError,
    Invalid,
    NotAllowed,
    Offline,
    ReceiptInvalid,
    Rejected,
    SignInNeeded,
    StorageFull,
    StoreDamaged,
    StoreInUse,
    StoreTooNew,
    StoreUnusable,
    TooOld,
    UnsentWork,
    Wiped,
)
from client_sdk.histories import FieldChange, HistoryItem, UndoResult
from client_sdk.media.items import Attached, MediaItem, MediaState
from client_sdk.reports import (
    Attention,
    ChangeVerdict,
    Difference,
    PendingChange,
    Progress,
    Status,
    SyncReport,
    SyncState,
    VerifyReport,
)
from client_sdk.store.media import Urgency
from client_sdk.store.rescue import RescueReport
from client_sdk.tracks import TrackRecorder

__all__ = [
    "OFFERED",
    "STANDING",
    "Attached",
    "Attention",
    "Batch",
    "ChangeVerdict",
    "Clocks",
    "Device",
    "DeviceError",
    "Difference",
    "FieldChange",
    "HistoryItem",
    "Invalid",
    "MediaItem",
    "MediaState",
    "NotAllowed",
    "Offline",
    "PendingChange",
    "Progress",
    "ReceiptInvalid",
    "Rejected",
    "RescueReport",
    "Side",
    "SignInNeeded",
    "Status",
    "StorageFull",
    "StoreDamaged",
    "StoreInUse",
    "StoreTooNew",
    "StoreUnusable",
    "SyncReport",
    "SyncState",
    "TooOld",
    "TrackRecorder",
    "UndoResult",
    "UnsentWork",
    "Urgency",
    "VerifyReport",
    "Wiped",
    "system_clocks",
]
