"""Which options join a gateway to others, and what is said of those that do not fit."""

import json
from pathlib import Path

import pytest

from autoscaler.app.gateway_peers import PeerOptions, gateway_peers
from autoscaler.cli import main
from autoscaler.gateway.affinity import derived_keys
from autoscaler.gateway.peers.roster import Member, Roster

pytestmark = pytest.mark.real_time
BOTH = "a=127.0.0.1:9001,b=127.0.0.1:9002"


async def test_a_gateway_without_these_options_serves_alone():
    async with gateway_peers(PeerOptions(), Path("gateway.yaml")) as peers:
        assert peers is None


async def test_a_gateway_of_a_list_keeps_its_roster_beside_its_services(tmp_path):
    async with gateway_peers(PeerOptions(name="b", peers=BOTH), tmp_path / "gateway.yaml") as peers:
        assert (peers.peer.name, peers.keys) == ("b", ())
        assert (tmp_path / "gateway.yaml.roster.b.lock").read_text() == f"{peers.peer.life}\n"


async def test_gateways_with_one_peer_key_accept_each_others_cookies(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    made = []
    for name in ("a", "b"):
        options = PeerOptions(name=name, peers=BOTH, roster=tmp_path / "roster", key=key)
        async with gateway_peers(options, None) as peers:
            made.append(derived_keys(peers.keys))
    assert made[0] == made[1] != (b"k" * 32,)
    assert made[0] != ()


async def test_two_gateways_of_one_name_do_not_run_at_once(tmp_path):
    options = PeerOptions(name="a", peers=BOTH, roster=tmp_path / "roster")
    async with gateway_peers(options, None):
        with pytest.raises(ValueError, match=r"roster\.a\.lock: another gateway with the name a runs on this machine"):
            async with gateway_peers(options, None):
                pass


IN_A_CLUSTER = {"POD_NAME": "gw-1", "POD_UID": "1", "POD_IP": "10.0.0.1"}


@pytest.mark.parametrize(
    ("options", "config", "environment", "message"),
    [
        (PeerOptions(name="a"), "g.yaml", {}, "--name a: has an effect only with --peers FILE, or in a cluster"),
        (PeerOptions(roster=Path("r")), "g.yaml", {}, "--roster r: has an effect only with --peers FILE"),
        (PeerOptions(key=Path("k")), "g.yaml", {}, "--peer-key k: has an effect only with --peers FILE"),
        (PeerOptions(peers=BOTH), "g.yaml", {}, f"--peers {BOTH}: needs --name NAME too"),
        (PeerOptions(peers=BOTH, name="a"), None, {}, f"--peers {BOTH}: needs --roster FILE too"),
        (PeerOptions(peers=BOTH, name="c"), "g.yaml", {}, "has no entry of --name 'c'; it names a, b"),
        (PeerOptions(peers="a=localhost", name="a"), "g.yaml", {}, "'localhost' is no address: write host:port"),
        (PeerOptions(port=9091, peers=BOTH), None, IN_A_CLUSTER, f"--peers {BOTH}: has no effect with --peer-port"),
        (PeerOptions(port=9091), None, {"POD_NAME": "gw-1"}, "--peer-port 9091: needs POD_UID, POD_IP in the environ"),
    ],
)
async def test_options_that_do_not_fit_are_named(options, config, environment, message, monkeypatch):
    for name in IN_A_CLUSTER:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        async with gateway_peers(options, config and Path(config)):
            pass
    assert message in str(caught.value)


def test_a_gateway_is_forgotten_by_the_command_line_which_names_the_others(tmp_path, capsys):
    first = Roster.first("a", Member("127.0.0.1:1", "a1"))
    file = tmp_path / "roster"
    file.write_text(json.dumps(first.joined("b", Member("127.0.0.1:2", "b1")).as_json()))
    assert main(["gateway", "forget", "b", f"--roster={file}"]) == 0
    assert json.loads(file.read_text())["members"].keys() == {"a"}
    assert main(["gateway", "forget", "b", f"--roster={file}"]) == 2
    assert "b is no member; the members are a" in capsys.readouterr().err
