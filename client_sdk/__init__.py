"""The device SDK: a local store, typed records, offline work, sync."""

from client_sdk.batch import Batch
from client_sdk.clocks import Clocks, system_clocks
from client_sdk.device import Device
from client_sdk.errors import (
    DeviceError,
    Invalid,
    NotAllowed,
    Offline,
    Rejected,
    SignInNeeded,
    StoreDamaged,
    StoreInUse,
    UnsentWork,
)
from client_sdk.reports import (
    Attention,
    ChangeVerdict,
    Difference,
    PendingChange,
    Progress,
    Status,
    SyncReport,
    SyncState,
)
from client_sdk.store.rescue import RescueReport
from client_sdk.tracks import TrackRecorder

__all__ = [
    "Attention",
    "Batch",
    "ChangeVerdict",
    "Clocks",
    "Device",
    "DeviceError",
    "Difference",
    "Invalid",
    "NotAllowed",
    "Offline",
    "PendingChange",
    "Progress",
    "Rejected",
    "RescueReport",
    "SignInNeeded",
    "Status",
    "StoreDamaged",
    "StoreInUse",
    "SyncReport",
    "SyncState",
    "TrackRecorder",
    "UnsentWork",
    "system_clocks",
]
