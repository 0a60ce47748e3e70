"""Text as the full-text index takes it: every Chinese character a word of its own, so that any part is found."""

import re
import unicodedata

_CJK = re.compile(
    "([\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])"
)


def indexed(text: str) -> str:
    """What to put into the index for `text`."""
    if text.isascii():
        return text
    return " ".join(_CJK.split(unicodedata.normalize("NFKC", text)))


def query_for(text: str) -> str:
    """The FTS5 query that finds texts holding each word of `text`, Chinese by any part, other words by their start.

    Empty when `text` holds nothing that can be looked for.
    """
    words = [word for word in unicodedata.normalize("NFKC", text).split() if any(map(str.isalnum, word))]
    phrases = [indexed(word).replace('"', " ") for word in words]
    return " ".join(f'"{phrase}" *' for phrase in phrases)
