"""Settings: defaults < the TOML file < the environment. Loaded once, where the program starts, and passed on."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from field_schemas.labels import Label
from field_schemas.media import DigestName
from media.thresholds import Thresholds
from sync.messages import MAX_BATCH
from sync.pull import SNAPSHOT_FROM
from sync.push import OFFLINE_DAYS

PREFIX = "GRIDWALK_"
CONFIG_VARIABLE = "GRIDWALK_CONFIG"
CONFIG_FILE = "gridwalk.toml"


class SettingsError(Exception):
    """A setting that cannot be used: which, its value, and what is allowed."""


class Settings(Thresholds, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be configured, the thresholds of the checks of photos among it.

    Empty `database_url` and `key_file` mean a file in `data_dir`.
    """

    data_dir: Annotated[
        str, Meta(min_length=1), Label("数据目录", "Folder of the server's files; made when missing")
    ] = "gridwalk-data"
    database_url: Annotated[
        str,
        Meta(pattern=r"^(|(sqlite|postgresql)(\+[a-z0-9]+)?://.*)\Z"),
        Label("数据库地址：sqlite:///文件 或 postgresql://…", "Database: sqlite:///file or postgresql://..."),
    ] = ""
    key_file: Annotated[
        str, Label("服务器签名密钥文件 (Ed25519 PEM)，首次使用时生成", "Signing key (Ed25519 PEM), made on first use")
    ] = ""
    host: Annotated[str, Meta(min_length=1), Label("监听地址", "Address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535), Label("监听端口，0 为任意空闲端口", "Port; 0 takes any free one")] = (
        8440
    )
    workers: Annotated[int, Meta(ge=1, le=64), Label("服务进程数", "Server processes")] = 1
    record_types: Annotated[
        list[str], Label("额外的记录类型包", "Packages of further record types, by import name")
    ] = []
    access_token_minutes: Annotated[
        int, Meta(ge=1, le=1440), Label("访问令牌有效期（分钟）", "Life of an access token, minutes")
    ] = 60
    refresh_token_days: Annotated[
        int, Meta(ge=1, le=365), Label("刷新令牌有效期（天）", "Life of a refresh token, days")
    ] = 30
    lockout_attempts: Annotated[
        int, Meta(ge=1, le=100), Label("密码连续错误多少次后锁定", "Wrong passwords in a row that lock an account")
    ] = 5
    lockout_minutes: Annotated[
        int, Meta(ge=1, le=1440), Label("锁定时长（分钟）", "Minutes a locked account waits")
    ] = 15
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=2**30), Label("请求内容上限（字节）", "Largest request body, bytes")
    ] = 16 * 1024 * 1024
    max_batch: Annotated[int, Meta(ge=1, le=MAX_BATCH), Label("一次推送的更改数上限", "Most changes in one push")] = (
        MAX_BATCH
    )
    commit_changes: Annotated[
        int, Meta(ge=1, le=100_000), Label("一次提交合并的更改数上限", "Most changes committed together")
    ] = 2_000
    commit_writers: Annotated[
        int, Meta(ge=1, le=32), Label("并行提交数（SQLite 恒为 1）", "Concurrent commits (always 1 on SQLite)")
    ] = 4
    offline_days: Annotated[
        int, Meta(ge=1, le=3_650), Label("离线采集的更改多少天内有效", "Days a change may wait on a device, offline")
    ] = OFFLINE_DAYS
    min_protocol: Annotated[
        int,
        Meta(ge=1, le=1_000),
        Label("仍可拉取的最低协议版本", "Oldest version of the messages that may still pull"),
    ] = 1
    snapshot_from: Annotated[
        int,
        Meta(ge=1, le=1_000_000_000),
        Label("街道记录达到多少条时以快照首次同步", "Records of a street that make a first sync take a snapshot"),
    ] = SNAPSHOT_FROM
    device_idle_days: Annotated[
        int,
        Meta(ge=1, le=3_650),
        Label(
            "设备多少天未同步后不再为其保留删除痕迹", "Days unseen after which deletions are not kept for a device"
        ),
    ] = 180
    max_waiting: Annotated[
        int,
        Meta(ge=1, le=1_000_000),
        Label("等待处理的请求数上限", "Requests that may wait before the server says busy"),
    ] = 1_000
    media_store: Annotated[
        str,
        Meta(pattern=r"^(|[a-z0-9]+://.*)\Z"),
        Label(
            "媒体存储：s3://桶/前缀 (AWS_* 变量)，空为数据目录",
            "Media store: s3://bucket/prefix (AWS_* variables); empty: a folder",
        ),
    ] = ""
    media_digest: Annotated[DigestName, Label("媒体摘要算法", "Digest by which media is named and kept")] = "sha256"
    media_max_bytes: Annotated[
        int, Meta(ge=1024, le=2**40), Label("单个媒体文件上限（字节）", "Largest photo or video, bytes")
    ] = 2 * 2**30
    media_daily_bytes: Annotated[
        int,
        Meta(ge=1024, le=2**50),
        Label("每台设备24小时上传上限（字节）", "Bytes one device may upload in 24 hours"),
    ] = 8 * 2**30
    media_free_bytes: Annotated[
        int, Meta(ge=0, le=2**50), Label("上传时须保留的空闲磁盘（字节）", "Bytes of disk that uploads leave free")
    ] = 256 * 2**20
    media_upload_hours: Annotated[
        int, Meta(ge=1, le=8_760), Label("未完成上传的有效期（小时）", "Life of an unfinished upload, hours")
    ] = 168
    media_grace_days: Annotated[
        int, Meta(ge=1, le=3_650), Label("无记录引用的媒体保留多少天", "Days media is kept that no record names")
    ] = 30
    media_link_minutes: Annotated[
        int, Meta(ge=1, le=10_080), Label("媒体链接有效期（分钟）", "Life of a link to media, minutes")
    ] = 30
    media_files_per_child: Annotated[
        int,
        Meta(ge=1, le=1_000_000),
        Label("一个检查进程处理多少个媒体文件后更换", "Media files a child process looks into before a fresh one"),
    ] = 200
    log_format: Annotated[Literal["text", "json"], Label("日志格式", "Log format")] = "text"

    def __post_init__(self) -> None:
        if not self.database_url:
            msgspec.structs.force_setattr(self, "database_url", f"sqlite:///{self.data_dir}/gridwalk.db")
        if not self.key_file:
            msgspec.structs.force_setattr(self, "key_file", f"{self.data_dir}/server.key")

    @property
    def on_sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.database_url.startswith("sqlite")


class SettingRow(msgspec.Struct, frozen=True):
    """One setting for a person to read; `source` is "default", a file or a variable. Secrets are masked."""

    name: str
    value: str
    source: str
    label: Label


class LoadedSettings(msgspec.Struct, frozen=True):
    """Settings and where each came from."""

    settings: Settings
    sources: dict[str, str]

    def rows(self) -> list[SettingRow]:
        """All settings, in the order of their declaration."""
        return [
            SettingRow(
                name, _shown(getattr(self.settings, name)), self.sources.get(name, "default"), _label(_HINTS[name])
            )
            for name in Settings.__struct_fields__
        ]


_HINTS = get_type_hints(Settings, include_extras=True)


def load_settings(environ: Mapping[str, str], folder: Path) -> LoadedSettings:
    """The settings of a process started in `folder` with environment `environ`. Raises SettingsError."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    named = environ.get(CONFIG_VARIABLE)
    path = folder / (named or CONFIG_FILE)
    if named and not path.is_file():
        raise SettingsError(f"{CONFIG_VARIABLE}={named}: there is no such file")
    if path.is_file():
        for name, value in _read_toml(path).items():
            values[name] = _checked(name, value, f"{path.name}: {name}")
            sources[name] = str(path)
    for name in Settings.__struct_fields__:
        variable = PREFIX + name.upper()
        if variable in environ:
            values[name] = _checked(name, _from_text(name, environ[variable]), variable)
            sources[name] = variable
    return LoadedSettings(Settings(**values), sources)


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables by which another process gets the same settings."""
    return {PREFIX + name.upper(): _text(getattr(settings, name)) for name in Settings.__struct_fields__}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _checked(name: str, value: Any, where: str) -> Any:
    if name not in _HINTS:
        near = difflib.get_close_matches(name, _HINTS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"{where}: there is no such setting{hint}")
    try:
        return msgspec.convert(value, _HINTS[name], strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where} = {_shown(value)}: {_allowed(name)}") from error


def _allowed(name: str) -> str:
    """What a setting accepts, in words, from its declaration."""
    hint = _HINTS[name]
    base, extras = hint.__origin__, hint.__metadata__
    meta = next((extra for extra in extras if isinstance(extra, Meta)), None)
    if getattr(base, "__args__", None) and getattr(base, "__origin__", None) is Literal:
        return f"allowed are {', '.join(base.__args__)}"
    if base is int and meta:
        return f"allowed is a whole number from {meta.ge} to {meta.le}"
    if base is str:
        return f"allowed is text: {_label(hint).en}"
    return "allowed is a list of names (in the environment: separated by commas)"


def _from_text(name: str, text: str) -> Any:
    if _HINTS[name].__origin__ == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _shown(value: Any) -> str:
    hidden = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", _text(value))
    return re.sub(r"([?&](?:password|passfile)=)[^&]*", r"\1***", hidden)


def _label(hint: Any) -> Label:
    return next(extra for extra in hint.__metadata__ if isinstance(extra, Label))
