"""Gateways that serve the same pods, in one process, with connections over loopback and a roster in memory."""

from gateway_kit import Kit, refused_port, service, until

from autoscaler.gateway.peers.roster import Member, owner
from autoscaler.gateway.peers.runner import PeerRunner, Place
from autoscaler.gateway.server import GatewayServer
from autoscaler.testing import FakeRosterStore

CHANGES = ("set_backends", "add_backend", "drain_backend", "remove_backend", "reload")


def names(service, count):
    """Names of gateways, the owner of the service first."""
    found = [f"gw-{number}" for number in range(count)]
    first = owner(dict.fromkeys(found, Member("", "")), service)
    return [first, *(name for name in found if name != first)]


def runner(name, store, life=None):
    """What joins a gateway of this name to the others."""
    port = refused_port()
    return PeerRunner(name, life or f"life-of-{name}", Place(f"127.0.0.1:{port}", "127.0.0.1", port), store)


async def settled(*gateways):
    """Wait until all are the members of one epoch, in which each owner knows who uses which slot."""
    peers = [gateway.peers.peer for gateway in gateways]
    await until(lambda: all(_is_settled(peer, peers) for peer in peers))


def _is_settled(peer, peers):
    owned = [share for share in peer.shares.values() if share.owned]
    known = peer.is_member and peer.roster.members.keys() == {each.name for each in peers}
    return known and peer.epoch == peers[0].epoch and all(share.whole for share in owned)


class PeersKit(Kit):
    """Starts gateways that serve together."""

    def __init__(self):
        super().__init__()
        self.store = FakeRosterStore()

    async def member(self, name, *services, tokens=None, store=None, **options):
        """Start one more gateway."""
        services = services or (service(),)
        peers = runner(name, store or self.store)
        gateway = GatewayServer({each.name: each for each in services}, peers=peers, **options)
        self._gateways.append(gateway)
        await gateway.start(0, 0, ["127.0.0.1"], tokens=tokens)
        return gateway

    async def kill(self, gateway):
        """End a gateway as kill -9 does: nobody gets a goodbye, and its port refuses connections."""
        peer = gateway.peers.peer
        self.store.dead.add((peer.name, peer.life))
        self._gateways.remove(gateway)
        await gateway.peers.close()
        await gateway.stop()


class TakerKit(PeersKit):
    """Starts each gateway with another one that owns the service; what is changed at one is changed at both."""

    async def gateway(self, *services, pods=(), **options):
        services = services or (service(),)
        name = services[0].name
        store = FakeRosterStore()
        owning, taking = [await self.member(each, *services, store=store, **options) for each in names(name, 2)]
        for change in CHANGES:
            setattr(taking, change, _at_both(getattr(owning, change), getattr(taking, change)))
        await settled(owning, taking)
        if pods:
            taking.set_backends(name, {f"p{n}": pod.address for n, pod in enumerate(pods)})
        return taking


def _at_both(there, here):
    def change(*arguments, **options):
        there(*arguments, **options)
        here(*arguments, **options)

    return change
