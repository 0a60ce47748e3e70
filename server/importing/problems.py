"""What can be wrong with a file.

ImportFailed    the file or the mapping as a whole: nothing is loaded
RowProblem      one row: it goes to the report, the others load
"""

import msgspec

from field_schemas.labels import Label


class ImportFailed(Exception):
    """Nothing can be loaded; `message` says why and what to do, in both languages."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.message = Label(zh, en)


class RowProblem(Exception):
    """One row cannot be loaded: `field` is at fault ("" for the row as a whole), `code` is of the catalogue."""

    def __init__(self, field: str, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.field = field
        self.code = code
        self.reason = Label(zh, en)


class BadRow(msgspec.Struct, frozen=True):
    """A line of the report: where in the file (line of a CSV file, number of a feature), which key, and why not."""

    number: int
    key: str
    field: str
    code: str
    reason: Label


def bad_row(number: int, key: str, problem: RowProblem) -> BadRow:
    """The report line of a problem."""
    return BadRow(number, key, problem.field, problem.code, problem.reason)
