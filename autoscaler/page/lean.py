"""Scripts and styles as they are sent: without comments and indentation, which is a third of them.

Strings of these files have no `/*`, and no line of a template begins with two slashes. The tests in a browser run what
is made here.
"""

import re

_COMMENT = re.compile(r"/\*.*?\*/ ?", re.DOTALL)
_BREAK = re.compile(r"(?<=[{(\[,])\n|\n(?=[})\].?:])")
"""A line break that means nothing, in a script as in a style: no statement ends there, or one does anyway."""
_SPACE_IN_STYLE = re.compile(r"(?<=[{:;,]) | (?=[{}])|;? ?(?=})|(?<=[;}])\n")


def lean(text: str) -> str:
    """Leave out comments, indentation, empty lines, and line breaks that mean nothing."""
    lines = (line.strip() for line in _COMMENT.sub("", text).splitlines())
    kept = "\n".join(line for line in lines if line and not line.startswith("//"))
    return _BREAK.sub("", kept) + "\n"


def lean_style(text: str) -> str:
    """Leave out the same, and spaces that mean nothing in a style sheet."""
    return _SPACE_IN_STYLE.sub("", lean(text)) + "\n"
