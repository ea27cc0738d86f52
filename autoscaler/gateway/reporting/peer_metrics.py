"""The metrics of the gateways that serve together, as one of them sees them."""

from collections.abc import Callable, Iterable

from autoscaler.gateway.peers.peer import Peer
from autoscaler.gateway.peers.runner import PeerRunner
from autoscaler.runtime.prometheus_text import Metric, Sample, labels


def _plain(read: Callable[[Peer], float]) -> Callable[[PeerRunner], Iterable[Sample]]:
    return lambda peers: (("", float(read(peers.peer))),)


OF_GROUP: tuple[tuple[Metric, Callable[[PeerRunner], Iterable[Sample]]], ...] = (
    (
        Metric(
            "gateway_members",
            "gauge",
            (),
            "gateways that serve the same pods. This one and the next six exist only with [peers](gateway.md#options)",
        ),
        _plain(lambda peer: 0 if peer.roster is None else len(peer.roster.members)),
    ),
    (
        Metric("gateway_epoch", "gauge", (), "the epoch of the roster that the gateway knows"),
        _plain(lambda peer: peer.epoch),
    ),
    (
        Metric("gateway_owned_services", "gauge", (), "services whose slots this gateway grants"),
        _plain(lambda peer: sum(share.owned for share in peer.shares.values())),
    ),
    (
        Metric(
            "gateway_permit_seconds",
            "gauge",
            (),
            "how long requests may still be started without news of the other gateways",
        ),
        _plain(lambda peer: min(peer.permit_s(), peer.times.permit_s)),
    ),
    (
        Metric("gateway_claims_total", "counter", ("to",), "requests for which the gateway `to` was asked for a slot"),
        lambda peers: ((f"{{{labels(to=to)}}}", count) for to, count in sorted(peers.claims_total().items())),
    ),
    (
        Metric(
            "gateway_takeovers_total",
            "counter",
            ("book",),
            'services that this gateway took over. With `book="whole"` it knew which slots were in use; with '
            '`book="unknown"` it holds those that no gateway names',
        ),
        lambda peers: ((f"{{{labels(book=book)}}}", count) for book, count in sorted(peers.takeovers_total().items())),
    ),
)
