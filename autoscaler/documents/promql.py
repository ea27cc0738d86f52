"""The parts of PromQL that the controller needs: what a selector is, and the query of its own gateways."""

import json

_SPACE = r"[ \t\r\n]*"
_ESCAPES = r"\\([abfnrtv\\{quote}]|[0-3][0-7]{{2}}|x[0-9a-fA-F]{{2}}|u[0-9a-fA-F]{{4}}|U[0-9a-fA-F]{{8}})"
_STRING = "({})".format(
    "|".join([*(rf"{quote}([^{quote}\\\n]|{_ESCAPES.format(quote=quote)})*{quote}" for quote in "\"'"), "`[^`]*`"])
)
_MATCHER = rf"[a-zA-Z_][a-zA-Z0-9_]*{_SPACE}(=~|!~|!=|=){_SPACE}{_STRING}{_SPACE}"
_MATCHERS = rf"{_MATCHER}(,{_SPACE}{_MATCHER})*(,{_SPACE})?"
SELECTOR = rf"([a-zA-Z_:][a-zA-Z0-9_:]*({_SPACE}\{{{_SPACE}({_MATCHERS})?\}})?|\{{{_SPACE}{_MATCHERS}\}})"
"""A name, matchers in braces, or both, with nothing around them: only for these does `timestamp()` give the time of the
samples. It means the same to Python's `re` and to RE2."""
SUM_OF_A_SERIES = (
    rf"^{_SPACE}sum[ \t\r\n]+by{_SPACE}\({_SPACE}namespace{_SPACE},{_SPACE}service{_SPACE}\){_SPACE}"
    rf"\({_SPACE}({SELECTOR}){_SPACE}\){_SPACE}$"
)
"""Its first group is the selector."""

GATEWAYS_SERIES = "inflight_requests"
GATEWAYS_QUERY = f"sum by (namespace, service) ({GATEWAYS_SERIES})"
"""The count of our gateways; the query of policies without one."""


def quoted(text: str) -> str:
    """Write a text as a string of PromQL."""
    return json.dumps(text, ensure_ascii=False)
