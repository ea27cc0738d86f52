"""Scripts and styles as they are sent: without comments and indentation, which is a third of them."""

import re

_COMMENT = re.compile(r"/\*.*?\*/ ?", re.DOTALL)


def lean(text: str) -> str:
    """Leave out comments, indentation and empty lines.

    Strings of these files have no `/*`, and no line of a template begins with two slashes; the tests in a browser run
    what is made here.
    """
    lines = (line.strip() for line in _COMMENT.sub("", text).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"
