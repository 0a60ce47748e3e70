"""The composition root of the server: every part is made and joined here, from the settings and nothing else."""

import asyncio
import gc
import os
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from field_schemas.registry import load_types
from media.errors import Unavailable
from media.inspection.facts import Limits
from media.inspection.inspector import Inspector
from media.thresholds import thresholds_of
from server.accounts.devices import Devices
from server.accounts.sessions import SessionRules, Sessions
from server.accounts.tokens import AccessTokens
from server.admission import Admission, Bounds
from server.group_commit import PushQueue, QueueBounds
from server.http.authentication import Gate
from server.http.openapi import openapi_document
from server.http.problems import exception_handlers
from server.http.request_log import RequestLog
from server.http.routes.catalogue import catalogue_routes
from server.http.routes.docs import docs_routes
from server.http.routes.health import health_routes
from server.http.routes.live import live_routes
from server.http.routes.media import media_routes
from server.http.routes.receipts import receipt_routes
from server.http.routes.records import record_routes
from server.http.routes.sessions import ServerFacts, session_routes
from server.http.routes.snapshots import snapshot_routes
from server.http.routes.sync import PullBounds, Reading, pull_routes, push_routes
from server.http.routes.uploads import upload_routes
from server.http.turnstile import Turnstile
from server.jobs import add_media_jobs, daily_jobs
from server.keys import load_or_make_key
from server.live import Hub
from server.live_postgres import PostgresNews
from server.live_sqlite import SqliteNews
from server.live_standing import keep_current
from server.logs import configure_logs
from server.media.arrivals import Arrivals, Check
from server.media.parts import Media, open_store
from server.media.pictures import Pictures
from server.media_checks.checker import MediaChecker
from server.media_checks.seen import SeenInDatabase
from server.receipts import ReceiptSigner
from server.retention import Retention
from server.serving import run_many, run_one, when_leaving
from server.settings import Settings, environment_of, load_settings
from server.snapshots.files import SnapshotFiles
from server.snapshots.library import Snapshots
from server.storage.database import Database, open_database, reach
from server.storage.migrate import initialise, migrate, pending
from sync.clock import Milliseconds
from sync.ids import uuid7

_PRIVATE = 0o077
"""What nobody but the server's own user may do with the files it makes."""
_MINUTE_S = 60
_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_OBJECTS_BEFORE_COLLECTING = 20_000
"""A batch of changes makes thousands of objects, and leaves none behind that only the collector could find."""
_READING_CONNECTIONS = 8
_LARGE_BODIES = 128 * 1024 * 1024
"""Bytes of large bodies held at once."""


def wall_clock_ms() -> int:
    """UTC now, ms."""
    return time.time_ns() // 1_000_000


def create_app(settings: Settings, *, clock: Milliseconds = wall_clock_ms, check: Check | None = None) -> Litestar:
    """The application. Its start brings the database up to date, its end finishes the pushes it has accepted.

    `check` looks into media that has arrived, in place of the checks by `media.checks`.

    Raises KeyFileError, ImportError for a package of `record_types` that does not exist, ValueError for a database
    URL that cannot be used, and StoreUnusable.
    """
    database = open_database(settings.database_url, _READING_CONNECTIONS + settings.commit_writers)
    registry = load_types(*settings.record_types)
    key = load_or_make_key(Path(settings.key_file))
    tokens = AccessTokens(key, settings.access_token_minutes * _MINUTE_S)
    sessions = Sessions(database, tokens, _session_rules(settings), clock, secrets.token_bytes)
    hub = Hub()
    news = SqliteNews(database, hub) if settings.on_sqlite else PostgresNews(database.engine, hub)
    bounds = _queue_bounds(settings)
    queue = PushQueue(database.store, registry, bounds, clock, settings.offline_days, news.announce)
    signer = ReceiptSigner(key)
    devices = Devices(database, clock)
    gate = Gate(tokens, sessions, clock)
    pull_bounds = PullBounds(settings.min_protocol, settings.snapshot_from)
    reading = Reading(database.store, registry, devices, pull_bounds, clock)
    media = Media(settings, database, registry, key, clock)

    limits = Limits(files_per_child=settings.media_files_per_child)
    inspector = Inspector(limits)
    checker = MediaChecker(database, registry, inspector, SeenInDatabase(database), settings, clock)
    # A child of its own: readers do not wait for checks.
    drawing = Inspector(limits)
    pictures = Pictures(media.shelf, drawing, clock)
    arrivals = Arrivals(
        database, media.shelf, media.references, queue, check or checker.check, pictures, clock, secrets.token_bytes
    )
    files = SnapshotFiles(Path(settings.data_dir) / "snapshots")
    snapshots = Snapshots(database.store, registry, files, clock, settings.snapshot_from)
    jobs = daily_jobs(Retention(database, settings.device_idle_days, clock), snapshots)
    add_media_jobs(jobs, media.upkeep, arrivals, pictures)

    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        await migrate(database.engine)
        await initialise(database.engine, uuid7(clock(), secrets.token_bytes))
        queue.start()
        jobs.start()
        _spare_the_collector()
        live = [asyncio.create_task(news.run()), asyncio.create_task(keep_current(hub, sessions, clock))]
        when_leaving(hub.close)
        try:
            yield
        finally:
            hub.close()
            jobs.shutdown(wait=False)
            await inspector.close()
            await drawing.close()
            await snapshots.stop()
            await queue.stop()
            for task in live:
                task.cancel()
            await asyncio.gather(*live, return_exceptions=True)
            media.close()
            await database.close()

    facts = ServerFacts(tokens.life_s, signer.public_key, settings.media_digest, thresholds_of(settings))
    handlers: list[HTTPRouteHandler] = [
        *session_routes(gate, sessions, database.store, facts, clock),
        *push_routes(gate, queue, media.references, settings.max_batch, reading),
        *pull_routes(gate, reading),
        *snapshot_routes(gate, snapshots),
        *record_routes(gate, database.store, registry, clock),
        *live_routes(gate, hub, clock),
        *receipt_routes(gate, database.store, signer, clock),
        *upload_routes(gate, media.uploads, media.links),
        *media_routes(gate, media, pictures, settings.media_link_minutes * _MINUTE_MS, clock),
        *catalogue_routes(registry),
        *health_routes(lambda: _checks(database)),
    ]
    app = Litestar(
        [*handlers, *docs_routes(openapi_document(handlers, version("gridwalk")))],
        openapi_config=None,
        logging_config=None,
        exception_handlers=exception_handlers(clock),
        request_max_body_size=settings.max_body_bytes,
        lifespan=[running],
    )
    admission = Admission(Bounds(waiting=settings.max_waiting), time.monotonic, random.SystemRandom().random)
    body_bytes = max(_LARGE_BODIES, 2 * settings.max_body_bytes)
    app.asgi_handler = Turnstile(RequestLog(app.asgi_handler), admission, body_bytes, clock, time.monotonic)
    return app


def _spare_the_collector() -> None:
    """Have the garbage collector look at what requests leave, not again and again at the program itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises what `create_app` raises, DatabaseUnreachable, and OSError when the address is taken.
    """
    os.umask(_PRIVATE)
    configure_logs(settings.log_format)
    asyncio.run(reach(settings.database_url))
    asyncio.run(_try_store(settings))
    if settings.workers == 1:
        run_one(create_app(settings), settings.host, settings.port)
        return
    os.environ.update(environment_of(settings))
    run_many(f"{__name__}:{app_from_environment.__name__}", settings.workers, settings.host, settings.port)


async def _try_store(settings: Settings) -> None:
    """Raises StoreUnusable. A store that is only away is no reason not to serve: records do without it."""
    with suppress(Unavailable):
        await open_store(settings).try_out()


def app_from_environment() -> Litestar:
    """The application of one of several server processes, which get their settings by the environment."""
    settings = load_settings(os.environ, Path.cwd()).settings
    configure_logs(settings.log_format)
    return create_app(settings)


def _session_rules(settings: Settings) -> SessionRules:
    return SessionRules(
        refresh_token_ms=settings.refresh_token_days * _DAY_MS,
        lockout_attempts=settings.lockout_attempts,
        lockout_ms=settings.lockout_minutes * _MINUTE_S * 1000,
    )


def _queue_bounds(settings: Settings) -> QueueBounds:
    writers = 1 if settings.on_sqlite else settings.commit_writers
    return QueueBounds(settings.commit_changes, settings.max_waiting, writers)


async def _checks(database: Database) -> dict[str, str]:
    """What readiness depends on: "ok" or what is wrong, without saying where the database is."""
    try:
        async with database.read_engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        migrations = "pending" if await pending(database.read_engine) else "ok"
    except (SQLAlchemyError, OSError) as error:
        return {"database": type(error).__name__}
    return {"database": "ok", "migrations": migrations}
