"""Leave that a namespace gives others by an annotation."""

import pytest

from autoscaler.host_claims import NamespaceHostPermissions
from autoscaler.kubernetes.namespaces import granted_namespaces, permissions_of


def namespace(**annotations):
    return {
        "metadata": {"name": "shop", "annotations": {f"inflight.dev/{key}": text for key, text in annotations.items()}}
    }


@pytest.mark.parametrize(
    ("text", "given"),
    [("team-b", {"team-b"}), ("team-b, team-c", {"team-b", "team-c"}), ("", set()), (" , ", set())],
)
def test_an_annotation_names_namespaces(text, given):
    assert granted_namespaces(namespace(**{"host-claims-from": text})) == given


def test_without_it_no_leave_is_given():
    assert (
        granted_namespaces({"metadata": {"name": "shop"}})
        == granted_namespaces(namespace(other="team-b"))
        == frozenset()
    )


def test_what_is_no_name_is_logged_and_gives_no_leave(caplog):
    assert granted_namespaces(namespace(**{"host-claims-from": "team-b, Team C, *"})) == {"team-b"}
    assert "namespace shop: metadata.annotations.inflight.dev/host-claims-from: 'team-b, Team C, *'" in caplog.text


def test_leave_is_by_the_name_of_the_namespace_that_gives_it():
    assert permissions_of({"/shop": frozenset({"b"}), "/x": frozenset()}) == NamespaceHostPermissions(
        {"shop": frozenset({"b"})}
    )
