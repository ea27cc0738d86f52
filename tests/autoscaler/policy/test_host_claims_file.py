"""The operator's file that says which namespaces may claim which hosts."""

import pytest

from autoscaler.documents.document import DocumentError
from autoscaler.host_claims import HostGrants
from autoscaler.policy.host_claims_file import read_grants, read_host_claims

GOOD = """\
claims:
- namespace: shop
  hosts: [Shop.example.com, "*.shop.example.com"]
- namespace: team
  hosts: [pay.shop.example.com]
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def reading(text):
        (tmp_path / "claims.yaml").write_text(text)
        return read_host_claims(next(tmp_path.relative_to(tmp_path).glob("claims.yaml")))

    return reading


def test_each_namespace_has_what_is_granted_to_it(read):
    assert read(GOOD) == HostGrants(
        {"shop": ("shop.example.com", "*.shop.example.com"), "team": ("pay.shop.example.com",)}
    )


def test_without_a_file_nothing_is_granted_or_refused():
    assert read_grants(None) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "claims.yaml: must have one document, and has 0"),
        ("claims: []\n", "claims.yaml:1: claims: []: must have at least 1"),
        ("claims:\n- namespace: a\n", "claims.yaml:2: claims[0].hosts: is required"),
        (
            "claims:\n- {namespace: a, hosts: [x]}\n- {namespace: a, hosts: [y]}\n",
            "has the namespace a twice",
        ),
        ("claims:\n- {name: a, hosts: [x]}\n", "claims.yaml:2: claims[0].namespace: is required"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(read, text, problem):
    with pytest.raises(DocumentError) as caught:
        read(text)
    assert problem in str(caught.value)


def test_a_host_that_is_none_is_told_with_its_place(read):
    with pytest.raises(DocumentError, match=r'claims\.yaml:2: claims\[0\]\.hosts\[0\]: "a b": must be'):
        read("claims:\n- {namespace: a, hosts: [a b]}\n")
