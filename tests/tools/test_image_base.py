"""The list of Debian packages that the image's base is made of."""

import pytest
from image_base import INCLUDED, Package, UnavailableError, against_list, fetched, listed

LISTED = Package("bash", "5.2", "amd64", "a" * 64)


def test_the_list_names_each_package_with_version_and_hash():
    found = listed()
    assert {"dpkg", "libc6", *INCLUDED} <= found.keys()
    assert len(found) > 50


def test_a_base_of_just_the_listed_packages_says_so():
    assert against_list([LISTED], {"bash": LISTED}) == "debian.list"


def test_a_listed_package_with_another_hash_is_refused():
    with pytest.raises(UnavailableError, match=r"bash=5\.2 has another SHA-256 than debian\.list says"):
        against_list([LISTED._replace(sha256="b" * 64)], {"bash": LISTED})


@pytest.mark.parametrize("other", [LISTED._replace(version="5.3"), LISTED._replace(architecture="arm64")])
def test_what_is_newer_or_not_listed_is_named(other):
    said = against_list([LISTED._replace(name="new"), other], {"bash": LISTED})
    assert said == f"debian.list but for new=5.2 amd64, bash={other.version} {other.architecture}"


def test_packages_are_read_from_the_files_that_were_fetched(tmp_path):
    folder = tmp_path / "var/cache/apt/archives"
    folder.mkdir(parents=True)
    (folder / "login_1%3a4.13+dfsg1-1+deb12u1_amd64.deb").write_bytes(b"")
    (found,) = fetched(tmp_path)
    assert found[:3] == ("login", "1:4.13+dfsg1-1+deb12u1", "amd64")
    assert found.sha256.startswith("e3b0c44298fc1c14")


def test_a_line_that_is_none_is_named(tmp_path, monkeypatch):
    file = tmp_path / "debian.list"
    file.write_text("# a comment\nbash 5.2\n")
    monkeypatch.setattr("image_base.LIST", file)
    with pytest.raises(ValueError, match=r"debian\.list:2: must be NAME=VERSION ARCHITECTURE sha256:HASH"):
        listed()
