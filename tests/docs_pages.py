"""Pages of docs/ that are written from the code: `python -m tests.docs_pages` writes them, a test compares."""

from collections.abc import Callable
from pathlib import Path

from field_schemas.codes import CODES
from field_schemas.media_findings import FINDINGS, VERDICT_ROWS
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


def findings_page() -> str:
    """What the checks of photos can find, and how a verdict follows."""
    verdicts = [f"| {row.when.en} | **{row.verdict}** | {row.when.zh} |" for row in VERDICT_ROWS]
    findings = [
        f"| `{code.name}` | {code.effect} | {code.title.en} | {code.proves or ''} | {code.title.zh} |"
        for code in FINDINGS.values()
    ]
    head = [
        "# What the checks of photos and videos find",
        "",
        "Two tables decide, and nothing else. Written from `field_schemas/media_findings.py` by `make docs`; how the",
        "values are compared: [checks of photos and videos](media-checks.md).",
        "",
        "## The verdict: the first line that applies",
        "",
        "| when | verdict | 条件 |",
        "| --- | --- | --- |",
        *verdicts,
        "",
        "## What each finding means",
        "",
        "*supports*: a proof is there. *neutral*: worth knowing. *missing*: something a proof needs is not there,",
        "and nobody is blamed. *contradicts*: something cannot be as claimed; a person looks at it.",
        "",
        "| code | effect | meaning | proves | 含义 |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *findings]) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "codes.md": codes_page,
    "command-line.md": command_page,
    "media-findings.md": findings_page,
}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
