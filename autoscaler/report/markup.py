"""Text as HTML and data as JSON inside of HTML: no input can end an element or begin one."""

import json
import re
from html import escape
from typing import Any

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""Characters that HTML does not allow, and halves of a character, which no file can hold."""
_IN_A_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def text(value: str) -> str:
    """Escape a text for the content of an element, or for an attribute in quotation marks."""
    return escape(plain(value))


def plain(value: str) -> str:
    """Give a text with line ends as HTML has them, and with U+FFFD for each character that HTML does not allow."""
    return _ILLEGAL.sub("\ufffd", value.replace("\r\n", "\n").replace("\r", "\n"))


def data(value: Any) -> str:
    """Write plain values as JSON that may stand inside of a `script` element; all numbers must be finite."""
    written = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character, instead in _IN_A_SCRIPT.items():
        written = written.replace(character, instead)
    return plain(written)
