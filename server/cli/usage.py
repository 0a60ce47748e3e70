"""Wrong words on the command line, told in Chinese where that is spoken; click itself speaks English."""

import click

from server.cli.words import language


class UsageErrorInChinese(click.UsageError):
    """A usage error of click's in Chinese; exit code 2, as its."""

    def __init__(self, error: click.UsageError) -> None:
        super().__init__(_sentence(error), error.ctx)

    def show(self, file: object = None) -> None:  # noqa: ARG002
        """Print the sentence and where to read on, on standard error."""
        command = self.ctx.command_path if self.ctx else "gridwalk"
        click.echo(f"gridwalk: {self.message}\n用法：{command} --help", err=True)


def in_language(error: click.UsageError) -> click.UsageError:
    """The error in the language of the command that runs now."""
    # Of these, one is the help of a group that was called without a command.
    known = isinstance(error, UsageErrorInChinese | click.exceptions.NoArgsIsHelpError)
    return error if known or language() != "zh" else UsageErrorInChinese(error)


def _sentence(error: click.UsageError) -> str:
    match error:
        case click.exceptions.NoSuchCommand():
            return f"没有命令 {error.command_name!r}"
        case click.NoSuchOption():
            near = f"；是否指 {'、'.join(error.possibilities)}？" if error.possibilities else ""
            return f"没有选项 {error.option_name}{near}"
        case click.MissingParameter():
            return f"缺少{_kind(error)} {_name(error)}"
        case click.BadParameter():
            return f"{_kind(error)} {_name(error)} 的值不可用{_allowed(error)}"
        case click.BadOptionUsage():
            return f"选项 {error.option_name} 的用法不对：缺少值，或不该有值"
    return f"命令的参数不对（{error.format_message()}）"


def _kind(error: click.BadParameter) -> str:
    return "选项" if isinstance(error.param, click.Option) else "参数"


def _name(error: click.BadParameter) -> str:
    if error.param is None:
        return str(error.param_hint or "")
    if isinstance(error.param, click.Option):
        return "/".join(error.param.opts)
    return error.param.make_metavar(error.ctx or click.get_current_context())


def _allowed(error: click.BadParameter) -> str:
    if error.param is not None and isinstance(error.param.type, click.Choice):
        return f"，可选：{'、'.join(map(str, error.param.type.choices))}"
    return f"（{error.message}）"
