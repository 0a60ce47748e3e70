"""Errors as problems: what a client is told of trouble that is not its own."""

import sqlalchemy.exc
from litestar import Litestar, get
from litestar.testing import AsyncTestClient

from server.http.problems import exception_handlers


async def test_a_database_that_is_too_busy_is_no_fault() -> None:
    """Where no connection to the database becomes free in time, the client is to come back, and told when."""

    @get("/")
    async def wait_in_vain() -> None:
        raise sqlalchemy.exc.TimeoutError("QueuePool limit reached")

    app = Litestar([wait_in_vain], exception_handlers=exception_handlers(lambda: 1), openapi_config=None)
    async with AsyncTestClient(app) as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
