"""Who we are to which API server: by a pod's files or a kubeconfig; what is not plain is left to the library."""

import asyncio
import base64
import sys

import pytest
import yaml

from autoscaler.kubernetes.account import UnconfiguredError, find_account, pod_account

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUfUn8LNAXnNGxYcqKOyuEudkBh/swCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjUyMDA0MDdaGA8yMTI2MTEwMTIwMDQw
N1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABF6b
ExxDnigy7r8KVXg8/nKDjhlRrC7/sYUAM0JSPvuHOSF9DWoCAqSui+sNZv321OOJ
z8EEvpR1GeG4hBNdWa2jUzBRMB0GA1UdDgQWBBScwHddpI/3rtApQ9AdPFptUjPr
nDAfBgNVHSMEGDAWgBScwHddpI/3rtApQ9AdPFptUjPrnDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIEmFXOnqulBn1QQ64XN9zZFayddMziH6Jakz
5n6X+z6+AiA7SuDq7XPF8rpDvtsVEYsEI//bENteizxYwC3BMenEkA==
-----END CERTIFICATE-----
"""
"""A certificate whose key nobody has."""


def kubeconfig(folder, *, user=None, **cluster):
    path = folder / "config"
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example.com/"} | cluster}],
        "users": [{"name": "u", "user": user or {}}],
    }
    path.write_text(yaml.safe_dump(content))
    return {"KUBECONFIG": str(path)}


async def test_a_user_with_a_token_is_read_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes_asyncio", None)
    account = await find_account(kubeconfig(tmp_path, user={"token": "secret"}))
    assert account.server == "https://api.example.com"
    assert await account.authorization() == "Bearer secret"


async def test_a_user_with_nothing_shows_nothing(tmp_path):
    assert await (await find_account(kubeconfig(tmp_path))).authorization() == ""


async def test_a_cluster_is_trusted_by_the_certificate_that_stands_there(tmp_path):
    data = {"certificate-authority-data": base64.b64encode(AUTHORITY.encode()).decode()}
    account = await find_account(kubeconfig(tmp_path, **data))
    assert [each["subject"] for each in account.tls.get_ca_certs()] == [((("commonName", "test"),),)]


async def test_a_token_file_stands_beside_the_kubeconfig_and_is_read_again_after_a_minute(tmp_path):
    (tmp_path / "token").write_text("old\n")
    account = await find_account(kubeconfig(tmp_path, user={"tokenFile": "token"}))
    assert await account.authorization() == "Bearer old"
    (tmp_path / "token").write_text("new\n")
    assert await account.authorization() == "Bearer old"
    await asyncio.sleep(61)
    assert await account.authorization() == "Bearer new"


@pytest.mark.parametrize(
    "user",
    [
        {"username": "me", "password": "secret"},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "true", "interactiveMode": "Never"}},
    ],
)
async def test_what_is_not_plain_is_left_to_the_library(tmp_path, monkeypatch, user):
    asked = []

    async def library(path):
        asked.append(path)

    monkeypatch.setattr("autoscaler.kubernetes.account._by_library", library)
    environment = kubeconfig(tmp_path, user=user)
    await find_account(environment)
    assert asked == [environment["KUBECONFIG"]]


async def test_the_library_brings_a_user_with_a_password(tmp_path):
    account = await find_account(kubeconfig(tmp_path, user={"username": "me", "password": "secret"}))
    assert account.server == "https://api.example.com"
    assert await account.authorization() == "Basic " + base64.b64encode(b"me:secret").decode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "while parsing"),
        ("current-context: there", "no context 'there'"),
        ("current-context: here\ncontexts: [{name: here, context: {cluster: c}}]", "no cluster 'c'"),
    ],
)
async def test_a_kubeconfig_that_is_wrong_is_refused_with_why(tmp_path, text, why):
    (tmp_path / "config").write_text(text)
    with pytest.raises(UnconfiguredError, match=why):
        await find_account({"KUBECONFIG": str(tmp_path / "config")})


async def test_without_any_there_is_no_cluster(tmp_path):
    with pytest.raises(UnconfiguredError, match="no Kubernetes cluster is configured"):
        await find_account({"KUBECONFIG": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
async def test_a_pod_finds_its_account_in_its_files(tmp_path, host, server):
    (tmp_path / "token").write_text("secret")
    (tmp_path / "ca.crt").write_text(AUTHORITY)
    account = pod_account(tmp_path, IN_A_POD | {"KUBERNETES_SERVICE_HOST": host})
    assert (account.server, await account.authorization()) == (server, "Bearer secret")
    assert len(account.tls.get_ca_certs()) == 1


async def test_a_pod_without_an_account_says_so():
    with pytest.raises(UnconfiguredError, match="token"):
        await find_account(IN_A_POD)
