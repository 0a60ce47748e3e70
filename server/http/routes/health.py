"""For whoever watches the server: is it alive, and can it work?"""

from collections.abc import Awaitable, Callable

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from field_schemas.labels import Label
from server.http.described import Operation, described
from server.http.messages import Health

TAG = Label("运行状况", "Health")
Checks = Callable[[], Awaitable[dict[str, str]]]

_LIVE = Operation(tag=TAG, summary=Label("进程是否存活", "Is the process alive"), response=Health)
_READY = Operation(
    tag=TAG,
    summary=Label("数据库可用且已迁移 (否则 503)", "Is the database there and up to date (503 if not)"),
    response=Health,
)
_OK = "ok"


def health_routes(checks: Checks) -> list[HTTPRouteHandler]:
    """The routes of health; `checks` says "ok" or what is wrong, by name."""

    @get("/health/live", opt=described(_LIVE))
    async def live() -> Response[bytes]:
        return _response(Health(_OK))

    @get("/health/ready", opt=described(_READY))
    async def ready() -> Response[bytes]:
        found = await checks()
        fine = all(state == _OK for state in found.values())
        return _response(Health(_OK if fine else "not ready", found))

    return [live, ready]


def _response(health: Health) -> Response[bytes]:
    status = 200 if health.status == _OK else 503
    return Response(msgspec.json.encode(health), status_code=status, media_type="application/json")
