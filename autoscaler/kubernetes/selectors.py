"""Label selectors, as an object has them and as the scale subresource writes them, matched on our side.

One watch of a namespace's pods serves all services in it. The selectors assign pods to services.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<without>[^\s,=!()]+)"
    r"|(?P<key>[^\s,=!()]+)\s*(?:(?P<sign>==|=|!=)\s*(?P<value>[^\s,]*)|(?P<word>in|notin)\s*\((?P<values>[^)]*)\))?)"
    r"\s*(?:,|$)"
)


class Requirement(NamedTuple):
    """One condition on labels."""

    key: str
    operator: str
    """`In`, `NotIn`, `Exists` or `DoesNotExist`."""
    values: frozenset[str]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels meet it."""
        match self.operator:
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


Selector = tuple[Requirement, ...]


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Tell whether labels meet all conditions; an empty selector selects nothing, instead of every pod."""
    return bool(selector) and all(requirement.holds(labels) for requirement in selector)


class SelectorIndex:
    """Selectors by name, so that those that select given labels are found fast: most name a value that few share."""

    def __init__(self) -> None:
        self._selectors: dict[str, Selector] = {}
        self._naming: defaultdict[tuple[str, str] | None, dict[str, None]] = defaultdict(dict)
        """The selectors to try for a label; None has those to try always."""

    def set(self, name: str, selector: Selector) -> None:
        """Set the selector of a name; an empty selector selects nothing."""
        if self._selectors.get(name, ()) == selector:
            return
        for term in _terms(self._selectors.pop(name, ())):
            del self._naming[term][name]
        for term in _terms(selector):
            self._selectors[name] = selector
            self._naming[term][name] = None

    def selecting(self, labels: Mapping[str, str]) -> list[str]:
        """Give the names whose selectors select these labels."""
        candidates = {name: None for term in (None, *labels.items()) for name in self._naming.get(term, ())}
        return [name for name in candidates if matches(self._selectors[name], labels)]


def _terms(selector: Selector) -> Iterator[tuple[str, str] | None]:
    """Give labels of which every selected object has at least one; None if there are no such labels."""
    named = next((each for each in selector if each.operator == "In"), None)
    if named is not None:
        yield from ((named.key, value) for value in named.values)
    elif selector:
        yield None


def from_object(selector: Mapping[str, Any]) -> Selector:
    """Read `matchLabels` and `matchExpressions`."""
    labels = (Requirement(key, "In", frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items())
    expressions = (
        Requirement(each["key"], each["operator"], frozenset(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    )
    return (*labels, *expressions)


def from_text(text: str) -> Selector:
    """Read the form of the scale subresource, such as `app=web,tier in (a,b),!debug`.

    Raises:
        ValueError: it does not have that form.
    """
    requirements: list[Requirement] = []
    at = 0
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None:
            raise ValueError(f"no label selector: {text!r}")
        requirements.append(_requirement(term))
        at = term.end()
    return tuple(requirements)


def _requirement(term: re.Match[str]) -> Requirement:
    if term["absent"]:
        return Requirement(term["without"], "DoesNotExist", frozenset())
    if term["word"]:
        values = frozenset(value.strip() for value in term["values"].split(","))
        return Requirement(term["key"], "In" if term["word"] == "in" else "NotIn", values)
    if term["sign"]:
        return Requirement(term["key"], "NotIn" if term["sign"] == "!=" else "In", frozenset({term["value"]}))
    return Requirement(term["key"], "Exists", frozenset())
