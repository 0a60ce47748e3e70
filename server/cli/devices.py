"""gridwalk device ..."""

import click

from server.accounts.devices import Devices
from server.cli import tables
from server.cli.session import as_uuid, done, now_ms, run
from server.cli.words import say


@click.group()
def device() -> None:
    """Enrolled devices 设备: list, revoke. A device enrols itself when its user signs in.

    \b
    Example:
      gridwalk device list li.na
    """


@device.command("list")
@click.argument("user_id", metavar="USER", required=False)
def list_(user_id: str | None) -> None:
    """List all devices 设备列表, or those of USER. When one was seen last is noted once an hour.

    \b
    Example:
      gridwalk device list
    """
    found = run(lambda database: Devices(database, now_ms).of(user_id))
    columns = (
        say("设备", "device"),
        say("账户", "user"),
        say("名称", "name"),
        say("型号", "model"),
        say("注册", "enrolled"),
        say("上次同步", "last seen"),
        say("注销", "revoked"),
    )
    rows = [
        (
            one.id,
            one.user_id,
            one.name,
            one.model,
            *map(tables.moment, (one.enrolled_ms, one.seen_ms, one.revoked_ms)),
        )
        for one in found
    ]
    tables.show(columns, rows)


@device.command()
@click.argument("device_id", metavar="DEVICE")
def revoke(device_id: str) -> None:
    """Bar a lost device at once 注销设备. Its user enrols another one by signing in there.

    It receives nothing any more. Work it still holds is not lost: it may hand it in, and each change is quarantined,
    as a refusal that a supervisor of the area checks and applies or dismisses. When it has handed in everything, the
    app wipes its copies of records, its tokens and its key. Revoking cannot be taken back.

    \b
    Example:
      gridwalk device revoke 0190a5c0-0000-7000-8000-00000000d001
    """
    known = as_uuid(device_id)
    run(lambda database: Devices(database, now_ms).revoke(known))
    done(f"设备 {known} 已注销。", f"Device {known} is revoked.")
