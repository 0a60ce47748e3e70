"""The API description and the table of errors say what the server does."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from field_schemas.codes import CODES
from server.app import create_app
from server.http.described import OPERATION, Operation
from server.http.openapi import openapi_document
from server.http.problems import STATUS, preferred_language, problem_of
from server.settings import Settings
from sync.errors import SequenceError, SyncError

NOW = 1_790_000_000_000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The handlers of the application, without those that Litestar adds for OPTIONS."""
    app = create_app(Settings(data_dir=str(tmp_path_factory.mktemp("data"))))
    found = [handler for route in app.routes for handler in getattr(route, "route_handlers", [])]
    return [handler for handler in found if handler.http_methods != {"OPTIONS"}]


def test_every_route_is_described(handlers: list[Any]) -> None:
    """Every route but the description itself and its page is described."""
    silent = {path for handler in handlers if OPERATION not in handler.opt for path in handler.paths}
    assert silent == {"/openapi.json", "/docs"}


def test_examples_are_what_they_show(handlers: list[Any]) -> None:
    """Every example decodes as the body it is an example of."""
    shown = 0
    for handler in handlers:
        operation = handler.opt.get(OPERATION)
        if isinstance(operation, Operation):
            for body, example in (
                (operation.request, operation.example),
                (operation.response, operation.answer_example),
            ):
                if example is not None:
                    assert msgspec.json.decode(msgspec.json.encode(example), type=body)
                    shown += 1
    assert shown == 23


def test_references_lead_somewhere(handlers: list[Any]) -> None:
    """Every reference of the document points to something in it."""
    document = openapi_document(handlers, "1")
    text = msgspec.json.encode(document).decode()
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names <= document["components"]["schemas"].keys()


def test_fields_are_described_as_objects(handlers: list[Any]) -> None:
    """What travels undecoded is described as the object it is."""
    schemas = openapi_document(handlers, "1")["components"]["schemas"]
    assert schemas["Change"]["properties"]["fields"]["type"] == "object"
    assert schemas["WireRecord"]["properties"]["fields"]["type"] == "object"


def test_every_status_belongs_to_a_code() -> None:
    """The table of statuses names only codes of the catalogue."""
    assert STATUS.keys() <= CODES.keys()


def test_every_code_that_is_raised_has_a_status() -> None:
    """Every code that any SyncError or MediaError of the program is raised with has a status."""
    raised = {
        code
        for folder in ("sync", "server", "media")
        for path in (ROOT / folder).rglob("*.py")
        for text in (path.read_text(),)
        for code in CODES
        if re.search(rf"(?:SyncError|SequenceError|MediaError|AtOffset|OutsideRange|__init__)\(\"{code}\"", text)
    }
    assert {"cursor_invalid", "sequence_gap", "overloaded", "password_weak"} <= raised
    assert raised <= STATUS.keys()


@pytest.mark.parametrize("code", sorted(STATUS))
def test_every_problem_is_complete(code: str) -> None:
    """Every code becomes a problem with words in both languages."""
    problems = [problem_of(SyncError(code, "x"), language, NOW) for language in ("zh", "en")]
    assert len({problem.title for problem in problems}) == 2
    assert all(problem.status == STATUS[code] and problem.advice for problem in problems)


def test_sequence_errors_say_where_to_go_on() -> None:
    """A sequence error carries the number expected."""
    assert problem_of(SequenceError("sequence_gap", "x", 7), "en", NOW).expected == 7


@pytest.mark.parametrize(
    ("header", "language"),
    [("", "zh"), ("*", "zh"), ("en", "en"), ("zh-CN, en;q=0.9", "zh-CN"), ("zh;q=0.2, en", "en"), (";q=x, fr", "fr")],
)
def test_preferred_language(header: str, language: str) -> None:
    """The language asked for most wins; Chinese where none is named."""
    assert preferred_language(header) == language
