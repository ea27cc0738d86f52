"""One Secret for all gateways of a cluster, whoever of them starts first."""

import asyncio
from base64 import b64encode

import pytest

from autoscaler.app.peer_secret import NAME, peer_key_lines
from autoscaler.kubernetes.client import ApiError

SECRETS = "/api/v1/namespaces/own/secrets"


class Api:
    """Has Secrets, and lets others go on before each answer."""

    def __init__(self, *, refuses=None):
        self.stored, self.refuses = {}, refuses

    async def get(self, path):
        await asyncio.sleep(1)
        if self.refuses is not None:
            raise ApiError(self.refuses, "", "no")
        if path not in self.stored:
            raise ApiError(404, "NotFound", "not there")
        return self.stored[path]

    async def create(self, path, body):
        await asyncio.sleep(1)
        stored_at = f"{path}/{body['metadata']['name']}"
        if stored_at in self.stored:
            raise ApiError(409, "AlreadyExists", "there already")
        self.stored[stored_at] = body
        return body


async def test_gateways_that_start_together_have_one_key():
    api = Api()
    found = await asyncio.gather(*(peer_key_lines(api, "own") for _ in range(3)))
    assert len(set(found)) == 1
    assert len(bytes.fromhex(found[0].strip())) == 32
    assert api.stored.keys() == {f"{SECRETS}/{NAME}"}


async def test_two_installations_have_different_keys():
    assert await peer_key_lines(Api(), "own") != await peer_key_lines(Api(), "own")


async def test_a_key_that_is_there_is_kept_with_all_its_lines():
    api = Api()
    api.stored[f"{SECRETS}/{NAME}"] = {"data": {"key": b64encode(b"new\nold\n").decode()}}
    assert await peer_key_lines(api, "own") == "new\nold\n"


@pytest.mark.parametrize("status", [0, 403, 500])
async def test_a_secret_that_cannot_be_read_is_an_error_and_not_a_new_key(status):
    api = Api(refuses=status)
    with pytest.raises(ApiError):
        await peer_key_lines(api, "own")
    assert api.stored == {}


@pytest.mark.parametrize("secret", [{}, {"data": {}}, {"data": {"key": "?"}}, {"data": {"key": "/w=="}}])
async def test_a_secret_without_a_key_is_named_with_what_to_do(secret):
    api = Api()
    api.stored[f"{SECRETS}/{NAME}"] = secret
    with pytest.raises(ValueError, match=f"the Secret own/{NAME} has no text under 'key': delete it"):
        await peer_key_lines(api, "own")
