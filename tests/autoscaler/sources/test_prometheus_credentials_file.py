"""The file of `--prometheus-credentials`: what is legal, and which addresses are the same."""

import re
from pathlib import Path

import pytest

from autoscaler.documents.document import DocumentError
from autoscaler.sources.prometheus_credentials_file import read_servers

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "prometheus.md"
WHOLE = """
servers:
  - address: https://prometheus.monitoring.svc:9090
    authorization: {credentials_file: /var/run/secrets/prometheus/token}
    tls_config: {ca_file: ca.crt, cert_file: tls.crt, key_file: tls.key, server_name: prometheus}
  - address: http://other:9090/team
    basic_auth: {username: inflight, password_file: password}
"""

BOTH = """servers:
- address: http://a
  authorization: {credentials_file: f}
  basic_auth: {username: x, password_file: f}
"""


def read(tmp_path, text):
    path = tmp_path / "servers.yaml"
    path.write_text(text)
    return read_servers(path)


def test_the_keys_are_those_of_prometheus_own_clients(tmp_path):
    one, other = read(tmp_path, WHOLE).values()
    assert one.authorization.type == "Bearer"
    assert one.tls_config.model_dump() == {
        "ca_file": "ca.crt",
        "cert_file": "tls.crt",
        "key_file": "tls.key",
        "server_name": "prometheus",
        "insecure_skip_verify": False,
    }
    assert other.basic_auth.model_dump() == {"username": "inflight", "password_file": "password"}


def test_the_example_of_the_docs_is_legal(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert list(read(tmp_path, example)) == [
        "https://@prometheus.monitoring.svc:9090",
        "https://@metrics.example.com:443/team-a",
        "https://@mimir.example.com:443/prometheus",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("servers: []", "1: servers: []: must have at least 1"),
        ("server: []", "1: server: unknown key; legal here: servers"),
        (
            "servers: [{address: prometheus:9090}]",
            '1: servers[0].address: "prometheus:9090": must be http://HOST:PORT/PATH',
        ),
        (
            "servers: [{address: http://a, token: x}]",
            "1: servers[0].token: unknown key; legal here: address, ",
        ),
        (
            "servers: [{address: http://a, basic_auth: {username: x}}]",
            "[0].basic_auth.password_file: is required",
        ),
        (
            "servers: [{address: http://a, basic_auth: {username: 'x:y', password_file: f}}]",
            '1: servers[0].basic_auth.username: "x:y": must match',
        ),
        (
            BOTH,
            "4: servers[0].basic_auth: cannot be combined with authorization: only one of them can be sent",
        ),
        (
            "servers: [{address: http://a, tls_config: {cert_file: f}}]",
            '1: servers[0].tls_config.cert_file: "f": needs key_file too',
        ),
        ("servers: [{address: http://a, tls_config: {insecure_skip_verify: 'yes'}}]", "must be a valid boolean"),
        ("servers: [{address: http://a:80}, {address: http://A/}]", "http://A/ twice"),
        (
            "servers: [{address: http://a, http_headers: {X-A: team}}]",
            'X-A: "team": must be a mapping with keys such as: values, files',
        ),
        (
            "servers: [{address: http://a, http_headers: {X-A: {value: [a]}}}]",
            "value: unknown key; legal here: values, f",
        ),
        ("servers: [{address: http://a, http_headers: {X-A: {}}}]", "http_headers.X-A.values: needs at least one here"),
        ("servers: [{address: http://a, http_headers: {X A: {values: [a]}}}]", "servers[0].http_headers"),
        ('servers: [{address: http://a, http_headers: {A: {values: ["a\\nB: c"]}}}]', "http_headers.A.values[0]"),
        ("servers: [{address: http://a, http_headers: {Host: {values: [b]}}}]", "Host: is set by other keys or by"),
        ("servers: [{address: http://a, http_headers: {authorization: {values: [b]}}}]", "is set by other keys or by"),
        ("", "must have one document, but has 0"),
        ("servers: [", "servers.yaml:1: "),
    ],
)
def test_what_is_wrong_is_told_with_file_line_key_and_what_is_legal(tmp_path, text, problem):
    with pytest.raises(DocumentError) as caught:
        read(tmp_path, text)
    assert problem in str(caught.value)
    assert str(tmp_path / "servers.yaml") in str(caught.value)
