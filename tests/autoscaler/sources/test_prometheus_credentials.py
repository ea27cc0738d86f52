"""What the files say now: headers and trust, read again when one changes, and told by name when one is wrong."""

import base64
import ssl

import pytest
import trustme

from autoscaler.documents.document import DocumentError
from autoscaler.sources.prometheus_credentials import PrometheusCredentials
from autoscaler.sources.prometheus_response import QueryError

ADDRESS = "https://prometheus:9090"


class Files:
    """A credentials file for one server and what it names, in one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "servers.yaml"

    def write(self, name, content):
        # A Secret that is mounted is replaced, never written in place.
        new = self.folder / f"{name}.new"
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        new.rename(self.folder / name)

    def access(self, settings):
        self.write("servers.yaml", f"servers: [{{address: {ADDRESS!r}, {settings}}}]")
        return PrometheusCredentials(self.path)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


BEARER = "authorization: {credentials_file: token}"


def test_a_bearer_token_is_sent_and_read_again_when_its_file_changes(files):
    files.write("token", "first\n")
    access = files.access(BEARER)
    assert access.of(ADDRESS).headers == {"Authorization": "Bearer first"}
    files.write("token", "second\n")
    assert access.of(ADDRESS).headers == {"Authorization": "Bearer second"}


def test_a_name_and_a_password_are_sent_as_http_does_it(files):
    files.write("password", "correct horse")
    access = files.access("basic_auth: {username: inflight, password_file: password}")
    kind, pair = access.of(ADDRESS).headers["Authorization"].split()
    assert (kind, base64.b64decode(pair)) == ("Basic", b"inflight:correct horse")


def test_no_other_address_is_shown_anything(files):
    files.write("token", "secret")
    access = files.access(BEARER)
    for address in (
        "http://prometheus:9090",
        "https://prometheus:9091",
        "https://evil:9090",
        f"{ADDRESS}/x",
    ):
        assert access.of(address).headers == {}
        assert access.of(address).trust is True


def test_without_a_file_nobody_is_shown_anything():
    assert PrometheusCredentials().of(ADDRESS) == ({}, True, None, "no --prometheus-credentials are given")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        ("\n", "is empty"),
        ("a\nb", "must be one line"),
        (b"\xff\xfe", "is not text"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_until_it_can(files, content, problem):
    if content is not None:
        files.write("token", content)
    access = files.access(BEARER)
    with pytest.raises(QueryError, match=f"credentials_file {files.folder / 'token'}: {problem}"):
        access.of(ADDRESS)
    files.write("token", "good")
    assert access.of(ADDRESS).headers == {"Authorization": "Bearer good"}


def test_a_credentials_file_that_changes_is_followed_and_one_that_is_wrong_changes_nothing(files, caplog):
    files.write("token", "first")
    files.write("other", "other")
    access = files.access(BEARER)
    access.of(ADDRESS)
    files.write("servers.yaml", "servers: 1")
    assert access.of(ADDRESS).headers == {"Authorization": "Bearer first"}
    assert "credentials not reloaded, the last valid ones stay in force" in caplog.text
    files.access("authorization: {credentials_file: other}")
    assert access.of(ADDRESS).headers == {"Authorization": "Bearer other"}
    files.path.unlink()
    assert access.of(ADDRESS).headers == {"Authorization": "Bearer other"}


def test_a_file_that_is_wrong_from_the_start_is_an_error(files):
    files.write("servers.yaml", "servers: 1")
    with pytest.raises(DocumentError, match="servers"):
        PrometheusCredentials(files.path)


# TLS.


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue_cert("inflight", key_type=trustme.KeyType.ECDSA)


def test_the_given_authority_is_trusted_alone_and_again_when_it_is_another(files, authority):
    files.write("ca.crt", authority.cert_pem.bytes())
    access = files.access("tls_config: {ca_file: ca.crt, server_name: prometheus}")
    first = access.of(ADDRESS)
    assert (len(first.trust.get_ca_certs()), first.trust.verify_mode) == (1, ssl.CERT_REQUIRED)
    assert first.server_name == "prometheus"
    assert access.of(ADDRESS).trust is first.trust, "one connection is kept for many ticks"
    files.write("ca.crt", trustme.CA(key_type=trustme.KeyType.ECDSA).cert_pem.bytes())
    assert access.of(ADDRESS).trust is not first.trust


def test_whoever_answers_is_trusted_only_where_that_is_asked_for(files):
    trust = files.access("tls_config: {insecure_skip_verify: true}").of(ADDRESS).trust
    assert (trust.verify_mode, trust.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({}, "ca_file {}/ca: No such file"),
        ({"ca": b"nothing"}, "ca_file {}/ca: has no certificates in PEM"),
        ({"ca": "authority"}, "cert_file {}/cert: No such file"),
        ({"ca": "authority", "cert": "cert"}, "key_file {}/key: No such file"),
        (
            {"ca": "authority", "cert": "cert", "key": b"nothing"},
            "cert_file {}/cert, key_file {}/key: are not a PEM pair",
        ),
        ({"ca": "authority", "cert": "cert", "key": "other key"}, "are not a PEM pair (KEY_VALUES_MISMATCH)"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(files, authority, certificate, written, problem):
    known = {
        "authority": authority.cert_pem.bytes(),
        "cert": certificate.cert_chain_pems[0].bytes(),
        "key": certificate.private_key_pem.bytes(),
        "other key": authority.issue_cert("x", key_type=trustme.KeyType.ECDSA).private_key_pem.bytes(),
    }
    for name, content in written.items():
        files.write(name, known.get(content, content))
    access = files.access("tls_config: {ca_file: ca, cert_file: cert, key_file: key}")
    with pytest.raises(QueryError) as caught:
        access.of(ADDRESS)
    assert problem.format(files.folder, files.folder) in str(caught.value)
    for name, content in {"ca": "authority", "cert": "cert", "key": "key"}.items():
        files.write(name, known[content])
    assert isinstance(access.of(ADDRESS).trust, ssl.SSLContext)


def test_headers_are_sent_beside_credentials_and_their_files_are_read_again(files):
    files.write("token", "secret")
    files.write("tenant", "team-b\n")
    access = files.access(f"{BEARER}, http_headers: {{X-Scope-OrgID: {{values: [team-a], files: [tenant]}}}}")
    assert access.of(ADDRESS).headers == {"X-Scope-OrgID": "team-a, team-b", "Authorization": "Bearer secret"}
    files.write("tenant", "team-c")
    assert access.of(ADDRESS).headers["X-Scope-OrgID"] == "team-a, team-c"
    files.write("tenant", "team-c\nX: y")
    with pytest.raises(QueryError, match=r"http_headers.X-Scope-OrgID.files .*tenant: must be one line"):
        access.of(ADDRESS)


# Who may be asked.


def test_only_named_servers_may_be_asked_however_they_are_written(files):
    files.write("token", "secret")
    files.write("servers.yaml", f"servers: [{{address: {ADDRESS!r}, {BEARER}}}]")
    access = PrometheusCredentials(files.path, ["http://one", "https://two:443/team"])
    for address in (ADDRESS, f"{ADDRESS}/", "http://ONE:80", "https://two/team/"):
        assert access.refusal(address) == ""
        access.of(address)
    for address in (
        "http://prometheus:9090",
        "http://one:9090",
        "https://two",
        "https://two/team/a",
        "http://one.evil",
    ):
        assert "--prometheus-servers" in access.refusal(address)
        with pytest.raises(QueryError, match="may not be used"):
            access.of(address)


def test_none_may_be_asked_where_none_is_named_and_any_where_nobody_says_which():
    assert PrometheusCredentials(servers=()).refusal(ADDRESS)
    assert not PrometheusCredentials().refusal(ADDRESS)


def test_a_server_that_comes_into_the_file_or_leaves_it_may_be_asked_or_not_from_then_on(files):
    other = "http://other:9090"
    files.write("servers.yaml", f"servers: [{{address: {ADDRESS!r}}}]")
    access = PrometheusCredentials(files.path, ())
    assert (access.refusal(ADDRESS), bool(access.refusal(other))) == ("", True)
    files.write("servers.yaml", f"servers: [{{address: {other!r}}}]")
    assert (bool(access.refusal(ADDRESS)), access.refusal(other)) == (True, "")
