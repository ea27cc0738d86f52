"""Any value of the wrong type, at any place of an object, is named; nothing is a traceback."""

import contextlib
from copy import deepcopy

from convert_kit import DATA
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.convert.draft import Options
from autoscaler.convert.readers import convert
from autoscaler.documents.document import Document, DocumentError, mixed_documents

FILES = {
    path.name: [each.value for each in mixed_documents(path.read_text(), "in.yaml")] for path in DATA.glob("*.yaml")
}
OTHER = [None, 5, -3, 1.5, True, "x", [], ["x"], [1], [None], {}, {"a": 1}]


def paths(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from paths(each, (*path, key))


PLACES = [(name, path) for name, documents in FILES.items() for path in paths(documents) if len(path) > 1]


def with_value(documents, path, value):
    changed = deepcopy(documents)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@given(
    st.sampled_from(PLACES),
    st.sampled_from(OTHER),
    st.sampled_from(["same", "concurrency"]),
    st.sampled_from([None, "ingress", "gateway-api"]),
)
def test_any_value_at_any_place_is_converted_or_named(place, value, algorithm, route):
    name, path = place
    documents = [Document(name, each, {}) for each in with_value(FILES[name], path, value)]
    with contextlib.suppress(DocumentError):
        convert(documents, Options(algorithm, route=route))
