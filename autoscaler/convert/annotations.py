"""Annotations and labels of other programs: which stay, which mean nothing here, and the nearest known name."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from autoscaler.convert.findings import Effect
from autoscaler.convert.source import Source, is_written_by_the_server
from autoscaler.documents.document import KeyPath

_SIMILAR = 0.6
"""How similar two names must be if they have no word in common."""


class Meaning(NamedTuple):
    """What becomes of the keys with a prefix."""

    prefix: str
    effect: Effect
    text: str


_FLOOR = (
    "the platform's own floor of instances. It is not applied, for each holds a GPU all day: write minReplicas if "
    "replicas must be there always"
)
_PLATFORM = "understood only by the platform that exported the object"
MEANINGS: Sequence[Meaning] = (
    Meaning("run.googleapis.com/minScale", Effect.DECIDE, _FLOOR),
    Meaning("run.googleapis.com/maxScale", Effect.DECIDE, "the platform's own limit of instances. It is not applied"),
    Meaning("run.googleapis.com/", Effect.NONE, _PLATFORM),
    Meaning("cloud.googleapis.com/", Effect.NONE, _PLATFORM),
    Meaning("networking.knative.dev/", Effect.NONE, "of Knative's network layer; the route to the gateway is yours"),
    Meaning("serving.knative.dev/creator", Effect.LEFT_OUT, "written by Knative; it may be a person's address"),
    Meaning("serving.knative.dev/lastModifier", Effect.LEFT_OUT, "written by Knative; it may be a person's address"),
    Meaning(
        "serving.knative.dev/rollout-duration",
        Effect.NONE,
        "requests move to new pods by the Deployment's rolling update",
    ),
    Meaning("serving.knative.dev/", Effect.NONE, "of Knative's revisions and routes, which there are none of here"),
    Meaning("queue.sidecar.serving.knative.dev/", Effect.NONE, "there is no queue-proxy in the pods"),
    Meaning("features.knative.dev/", Effect.NONE, "of Knative's webhook"),
    Meaning("client.knative.dev/", Effect.LEFT_OUT, "written by Knative's command line"),
    Meaning("sidecar.istio.io/rewriteAppHTTPProbers", Effect.NONE, "of Istio's sidecar; its default is true"),
    Meaning("inflight.dev/", Effect.NONE, "of Inflight; it belongs into a policy"),
)


def meaning_of(key: str) -> Meaning | None:
    """Give what becomes of an annotation or a label; None if it stays."""
    return next((each for each in MEANINGS if key.startswith(each.prefix)), None)


def sift(source: Source, path: KeyPath, to: str, elsewhere: Iterable[str] = ()) -> dict[str, Any]:
    """Give the annotations, labels or node selectors that stay, and account for all.

    Args:
        source: the document.
        path: where they are.
        to: where they stay, in words.
        elsewhere: keys for which the caller accounts.
    """
    known, kept = set(elsewhere), dict[str, Any]()
    for key in source.mapping(*path):
        meaning = meaning_of(key)
        if key in known or is_written_by_the_server((*path, key)):
            continue
        if meaning is None:
            kept[key] = source.keep((*path, key), to)
        else:
            source.note((*path, key), meaning.effect, meaning.text)
    return kept


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that is most like a name: by common words first, then by letters."""

    def likeness(other: str) -> tuple[int, float]:
        common = len(set(_words(name)) & set(_words(other)))
        return common, SequenceMatcher(None, name, other).ratio()

    found = max(known, key=likeness, default=None)
    return found if found is not None and likeness(found) >= (0, _SIMILAR) else None


def unknown(name: str, known: Iterable[str], product: str) -> str:
    """Say that a name is unknown to a product, and which it may be."""
    near = nearest(name, known)
    return f"{product} has no such setting" + (f"; the nearest is {near}" if near else "")


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", re.sub(r"([A-Z])", r"-\1", name).lower())
