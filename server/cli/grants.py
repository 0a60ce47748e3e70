"""gridwalk grant ..."""

import datetime as dt

import click

from server.accounts.grants import GivenGrant, Grants
from server.accounts.rules import GRANTABLE
from server.cli import tables
from server.cli.session import done, now_ms, run
from server.cli.words import CommandFailed, say
from sync.errors import SyncError


@click.group()
def grant() -> None:
    """Who may do what, where 授权: give, end, list.

    \b
    Example:
      gridwalk grant give li.na inspector grid:440304001
      gridwalk grant list li.na
    """


@grant.command()
@click.argument("user_id", metavar="USER")
@click.argument("role", type=click.Choice([role.value for role in GRANTABLE]), metavar="ROLE")
@click.argument("scope")
@click.option("--from", "valid_from", metavar="TIME", help="From when it holds, ISO 8601. [default: now]")
@click.option("--until", "valid_until", metavar="TIME", help="Until when it holds, ISO 8601. [default: open]")
def give(user_id: str, role: str, scope: str, valid_from: str | None, valid_until: str | None) -> None:
    """Give USER a ROLE within SCOPE 授权.

    ROLE is one of inspector, officer, steward, responder, supervisor, venue_staff, citizen, gateway, admin,
    security_admin, auditor; the last three never meet in one account. SCOPE is grid: and the first 6, 9, 12 or 15
    digits of a grid code (district, street, community, unit grid), or person:, dept: or case: and an id, or all:.
    A TIME without zone is in this machine's.

    \b
    Examples:
      gridwalk grant give li.na inspector grid:440304001
      gridwalk grant give chen.jie supervisor grid:440304 --until 2027-01-01
    """
    start, end = _time_ms(valid_from), _time_ms(valid_until)
    number = run(lambda database: Grants(database, now_ms).give(user_id, role, scope, start, end))
    done(
        f"授权 {number}：{user_id} 在 {scope} 为 {role}。终止：gridwalk grant end {number}",
        f"Grant {number}: {user_id} is {role} in {scope}. To undo: gridwalk grant end {number}",
    )


@grant.command()
@click.argument("which", nargs=-1, required=True, metavar="NUMBER | USER ROLE SCOPE")
def end(which: tuple[str, ...]) -> None:
    """End a grant now 终止授权: by its NUMBER, or all open ones of USER for ROLE in SCOPE.

    What the user did while it held stays judged by it, also what is still on the way from a device.

    \b
    Examples:
      gridwalk grant end 12
      gridwalk grant end li.na inspector grid:440304001
    """
    ended = run(lambda database: _end(Grants(database, now_ms), which))
    numbers = ", ".join(map(str, ended))
    done(f"已终止授权 {numbers}。", f"Ended: grant {numbers}.")


@grant.command("list")
@click.argument("user_id", metavar="USER", required=False)
def list_(user_id: str | None) -> None:
    """List all grants ever given 授权列表, or those of USER.

    \b
    Example:
      gridwalk grant list li.na
    """
    found = run(lambda database: Grants(database, now_ms).of(user_id))
    columns = (
        say("编号", "number"),
        say("账户", "user"),
        say("角色", "role"),
        say("范围", "scope"),
        say("起", "from"),
        say("止", "until"),
        say("状态", "state"),
    )
    tables.show(columns, [_row(one, now_ms()) for one in found])


async def _end(grants: Grants, which: tuple[str, ...]) -> list[int]:
    if len(which) == 1 and which[0].isdecimal():
        await grants.end(int(which[0]))
        return [int(which[0])]
    if len(which) != 3:
        raise click.UsageError(
            say(
                "写作 gridwalk grant end 编号，或 账户 角色 范围",
                "write gridwalk grant end NUMBER, or USER ROLE SCOPE",
            )
        )
    user_id, role, scope = which
    now = now_ms()
    numbers = [
        one.id
        for one in await grants.of(user_id)
        if (one.grant.role, one.grant.scope) == (role, scope)
        and (one.grant.valid_until is None or one.grant.valid_until > now)
    ]
    if not numbers:
        raise SyncError("not_found", f"{user_id} {role} {scope}")
    for number in numbers:
        await grants.end(number)
    return numbers


def _row(given: GivenGrant, now: int) -> tuple[object, ...]:
    grant_ = given.grant
    if grant_.holds_at(now):
        state = say("有效", "holds")
    else:
        state = say("未开始", "not yet") if now < grant_.valid_from else say("已终止", "ended")
    period = (tables.moment(grant_.valid_from), tables.moment(grant_.valid_until))
    return (given.id, given.user, grant_.role, grant_.scope, *period, state)


def _time_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandFailed(
            f"{text!r} 不是时间，写作 2027-01-01T08:00:00+08:00",
            f"{text!r} is not a time: write 2027-01-01T08:00:00+08:00",
        ) from error
    return int(moment.timestamp() * 1000)
