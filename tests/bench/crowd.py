"""Many devices, each with an account, a key and a token of its own, and what they cost the server."""

from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert

from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import LoadDevice, now_ms
from server.accounts.devices import Device
from server.accounts.proofs import thumbprint
from server.accounts.tables import devices, grants, sessions, users
from server.accounts.tokens import AccessTokens
from server.keys import load_or_make_key
from server.storage.database import open_database
from tests.bench.turns import cpu_s

_TOKEN_LIFE_S = 7_200
_ROWS = 2_000


class Member(msgspec.Struct, frozen=True):
    """A device and where its user inspects."""

    device: LoadDevice
    scope: str


async def enrol(stage: Stage, name: str, scopes: list[str]) -> list[Member]:
    """A signed-in device of an account of its own for each scope, made straight in the database of `stage`.

    The accounts are called after `name` and their place.
    """
    members = [Member(LoadDevice(stage.url, f"{name}{number}"), scope) for number, scope in enumerate(scopes)]
    tokens = AccessTokens(load_or_make_key(stage.folder / "server.key"), _TOKEN_LIFE_S)
    now = now_ms()
    session_ids = [member.device.new_id() for member in members]
    rows: dict[Any, list[dict[str, Any]]] = {users: [], grants: [], devices: [], sessions: []}
    for member, session in zip(members, session_ids, strict=True):
        device = member.device
        rows[users].append({"id": device.user, "display_name": device.user, "password_hash": "-", "created_ms": now})
        rows[grants].append({"user_id": device.user, "role": "inspector", "scope": member.scope, "valid_from": now})
        rows[devices].append(
            msgspec.structs.asdict(Device(device.id, device.user, device.public_key, "load", None, now))
        )
        rows[sessions].append({"id": session, "device_id": device.id, "started_ms": now, "generation": 0})
        device.admit(tokens.issue(device.user, device.id, session, thumbprint(device.public_key), now))
    await _insert(stage.database_url, rows)
    return members


async def _insert(url: str, rows: dict[Any, list[dict[str, Any]]]) -> None:
    database = open_database(url, 1)
    async with database.engine.begin() as connection:
        for table, values in rows.items():
            for start in range(0, len(values), _ROWS):
                await connection.execute(insert(table), values[start : start + _ROWS])
    await database.close()


def percentile(values: list[float], share: float) -> float:
    """The smallest of the values that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Cost(msgspec.Struct, frozen=True):
    """What a process has used: seconds of the processor, and memory now and at most, MB."""

    cpu_s: float
    memory_mb: float
    peak_mb: float


def cost_of(pid: int) -> Cost:
    """What the process has used up to now."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    resident, peak = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return Cost(cpu_s(pid), resident, peak)
