"""gridwalk purge"""

import click

from server.cli import tables
from server.cli.session import done, loaded_settings, now_ms, run
from server.retention import Purge, Retention


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
def purge(dry_run: bool) -> None:
    """Drop traces of deleted records 清理 that no enrolled device needs any more.

    The server does this by itself every night. Traces are kept until every device has read them that was seen
    within the setting device_idle_days and is not revoked; a device away for longer fetches everything afresh when it
    comes back, and keeps its unsent work. A deleted record stays deleted.

    \b
    Example:
      gridwalk purge --dry-run
    """
    days = loaded_settings().settings.device_idle_days
    found = run(lambda database: Retention(database, days, now_ms).purge(dry_run=dry_run))
    if found is None:
        done("另一个进程正在清理。", "Another process is purging right now.")
    elif dry_run:
        done(f"可清理 {found.traces} 条删除痕迹。", f"{found.traces} traces of deleted records can go.")
    else:
        done(f"已清理 {found.traces} 条删除痕迹。", f"{found.traces} traces of deleted records are gone.")
    if found is not None:
        _say_who_waits(found)


def _say_who_waits(found: Purge) -> None:
    device = found.held_by
    if device is None:
        return
    seen = tables.moment(device.seen_ms)
    done(
        f"更新的痕迹为设备 {device.id}（{device.user_id}，{device.name}，上次同步 {seen or '从未'}）保留。",
        f"Newer ones are kept for device {device.id} ({device.user_id}, {device.name}, last seen {seen or 'never'}).",
    )
