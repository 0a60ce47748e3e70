"""gridwalk user ..."""

import sys

import click

from server.accounts.users import Users
from server.cli import tables
from server.cli.session import done, now_ms, run
from server.cli.words import CommandFailed, say

_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking twice."
)


@click.group()
def user() -> None:
    """Accounts: add, password, disable, enable, list 账户.

    \b
    Example:
      gridwalk user add li.na --name 李娜
      gridwalk grant give li.na inspector grid:440304001
    """


@user.command()
@click.argument("user_id", metavar="USER")
@click.option("--name", help="Name shown to others 显示名称. [default: USER]")
@_password_stdin
def add(user_id: str, name: str | None, password_stdin: bool) -> None:
    """Add an account 新建账户. It may do nothing until `gridwalk grant give` gives it a role.

    USER is the login name: 1 to 64 of a-z 0-9 . _ - and never changes. The password is asked for twice, or
    read from standard input.

    \b
    Example:
      gridwalk user add li.na --name 李娜
    """
    password = _password(password_stdin)
    run(lambda database: Users(database, now_ms).create(user_id, name or user_id, password))
    done(
        f"已建账户 {user_id}。授权：gridwalk grant give {user_id} 角色 范围",
        f"Account {user_id} is made. Give it a role: gridwalk grant give {user_id} ROLE SCOPE",
    )


@user.command()
@click.argument("user_id", metavar="USER")
@_password_stdin
def password(user_id: str, password_stdin: bool) -> None:
    """Give an account a new password 重置密码, and lift a lock after wrong attempts.

    \b
    Example:
      gridwalk user password li.na
    """
    new = _password(password_stdin)
    run(lambda database: Users(database, now_ms).set_password(user_id, new))
    done(f"{user_id} 的密码已更改。", f"The password of {user_id} is changed.")


@user.command()
@click.argument("user_id", metavar="USER")
def disable(user_id: str) -> None:
    """Bar an account at once 停用. Its records and history stay; `gridwalk user enable` lets it in again.

    \b
    Example:
      gridwalk user disable li.na
    """
    run(lambda database: Users(database, now_ms).disable(user_id))
    done(
        f"账户 {user_id} 已停用。恢复：gridwalk user enable {user_id}",
        f"Account {user_id} is disabled. To undo: gridwalk user enable {user_id}",
    )


@user.command()
@click.argument("user_id", metavar="USER")
def enable(user_id: str) -> None:
    """Let a disabled account in again 恢复.

    \b
    Example:
      gridwalk user enable li.na
    """
    run(lambda database: Users(database, now_ms).enable(user_id))
    done(f"账户 {user_id} 已恢复。", f"Account {user_id} is enabled.")


@user.command("list")
def list_() -> None:
    """List all accounts 账户列表, with their state.

    \b
    Example:
      gridwalk user list
    """
    found = run(lambda database: Users(database, now_ms).all())
    now = now_ms()
    rows = [
        (one.id, one.display_name, _state(one.disabled_ms, one.locked_until_ms, now), tables.moment(one.created_ms))
        for one in found
    ]
    tables.show((say("账户", "user"), say("名称", "name"), say("状态", "state"), say("建立时间", "made")), rows)


def _state(disabled_ms: int | None, locked_until_ms: int, now: int) -> str:
    if disabled_ms is not None:
        return say("停用", "disabled")
    return say("锁定", "locked") if locked_until_ms > now else say("正常", "active")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandFailed(
            "没有终端可以询问密码，请加 --password-stdin",
            "there is no terminal to ask for the password: add --password-stdin",
        )
    entered: str = click.prompt(
        say("密码", "Password"), hide_input=True, confirmation_prompt=say("再次输入", "Once more")
    )
    return entered
