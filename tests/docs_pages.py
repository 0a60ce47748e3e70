"""Pages of docs/ that are written from the code: `python -m tests.docs_pages` writes them, a test compares."""

from collections.abc import Callable
from pathlib import Path

from field_schemas.codes import CODES
from tests.command_page import command_page

DOCS = Path(__file__).parent.parent / "docs"


def codes_page() -> str:
    """All codes with their words and what to do."""
    rows = [
        f"| `{code.name}` | {code.title.en} | {code.advice.en} | {code.title.zh} | {code.advice.zh} |"
        for code in CODES.values()
    ]
    head = [
        "# Codes",
        "",
        "Every verdict, refusal and error, and what the client should do. Written from `field_schemas/codes.py`",
        "by `make docs`.",
        "",
        "| code | meaning | what to do | 含义 | 处理办法 |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"


PAGES: dict[str, Callable[[], str]] = {"codes.md": codes_page, "command-line.md": command_page}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
