"""The form of a pod template, as far as it is read: what has another form is refused, as the API server refuses it."""

from collections.abc import Iterator

from autoscaler.convert.source import Source
from autoscaler.documents.document import DocumentError, KeyPath

_EACH = "*"
_HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_CONTAINER: tuple[str, ...] = ("spec", "containers", _EACH)
_FORM: dict[tuple[str, ...], type] = {
    (): dict,
    ("metadata",): dict,
    ("metadata", "labels"): dict,
    ("metadata", "annotations"): dict,
    ("spec",): dict,
    ("spec", "nodeSelector"): dict,
    ("spec", "containers"): list,
    _CONTAINER: dict,
    **{(*_CONTAINER, key): list for key in ("args", "command", "env", "ports")},
    **{(*_CONTAINER, key, _EACH): dict for key in ("env", "ports")},
    (*_CONTAINER, "name"): str,
    **{(*_CONTAINER, key, _EACH, "name"): str for key in ("env", "ports")},
    **{(*_CONTAINER, probe): dict for probe in _PROBES},
    **{(*_CONTAINER, probe, handler): dict for probe in _PROBES for handler in _HANDLERS},
}
_IN_WORDS: dict[type, str] = {dict: "a mapping", list: "a list", str: "a text"}


def check_form(source: Source, template: KeyPath) -> None:
    """Check a pod template; raises DocumentError with each place that has another form."""
    problems = [
        source.problem(path, f"must be {_IN_WORDS[form]}")
        for pattern, form in _FORM.items()
        for path in _places(source, template, pattern)
        if not isinstance(source.get(*path, default=form()), form)
    ]
    if problems:
        raise DocumentError(problems)


def _places(source: Source, above: KeyPath, pattern: tuple[str, ...]) -> Iterator[KeyPath]:
    """Give the paths that a pattern stands for."""
    if not pattern:
        yield above
        return
    first, *rest = pattern
    value = source.get(*above)
    if first != _EACH:
        yield from _places(source, (*above, first), tuple(rest))
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from _places(source, (*above, number), tuple(rest))
