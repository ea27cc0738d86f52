"""One gateway among its peers: its membership, and the services that it shares with them.

Events go in with their time; messages, grants and calls of the store come out through `out`. On a new epoch every
member sends each other one report of all that it has of the other's services. A gateway has settled an epoch when it
has the reports of all members; it tells them, so that former owners forget their books and a leaver may go.
"""

from collections.abc import Callable, Collection

from autoscaler.gateway.dispatch.types import Limits, Refusal
from autoscaler.gateway.peers.book import Hold, Ref
from autoscaler.gateway.peers.membership import Membership
from autoscaler.gateway.peers.messages import OfEpoch, OfService, PeerMessage, Report, parse
from autoscaler.gateway.peers.outbox import Outbox
from autoscaler.gateway.peers.owned_service import Known
from autoscaler.gateway.peers.reports import NOTHING, Reports, in_parts
from autoscaler.gateway.peers.roster import Member, Roster
from autoscaler.gateway.peers.roster import owner as owner_of
from autoscaler.gateway.peers.shared_dispatcher import SharedDispatcher
from autoscaler.gateway.peers.times import Times

_REMEMBERED = 32  # settled epochs; a roster goes back less far
_NOTHING_YET = Limits()  # of a service that only a peer has named so far: it has no pod


class Peer:
    """See the module.

    Args:
        name: its name.
        life: names the process.
        address: its `host:port` for peers.
        clock: a clock that goes on while the process is stopped, read afresh: for the permit and for silences.
        times: the durations.
    """

    def __init__(
        self, name: str, life: str, address: str, *, clock: Callable[[], float], times: Times | None = None
    ) -> None:
        self.name = name
        self.life = life
        self.times = times or Times()
        self.out = Outbox()
        self.shares: dict[str, SharedDispatcher] = {}
        self._clock = clock
        self._now_s = 0.0
        self._membership = Membership(name, Member(address, life), self.times, out=self.out, adopted=self._new_epoch)
        self._lives: dict[str, str] = {}
        """The life of each gateway that is connected."""
        self._awaited: set[str] = set()
        """Members whose report of the present epoch is missing."""
        self._lost: Collection[tuple[str, str]] = ()
        """The processes that may run requests and are no members."""
        self._settled: list[int] = []
        self._settled_by: set[str] = set()
        """Members that have settled the present epoch."""
        self._reports = Reports()
        self._keeps_holding = False
        self._unpermitted: list[Callable[[], None]] = []
        self._holding: set[SharedDispatcher] = set()
        """Services that may have held slots."""

    @property
    def epoch(self) -> int:
        """The present epoch; 0 before there is one."""
        return self._membership.epoch

    @property
    def roster(self) -> Roster | None:
        """The present roster."""
        return self._membership.roster

    @property
    def is_member(self) -> bool:
        """Whether this process is a member, as far as it knows."""
        return self._membership.is_member

    @property
    def ready(self) -> bool:
        """Whether clients should come here: it is a member, and reaches all owners that others reach."""
        return self.is_member and self._membership.cut_off_since_s(self._clock()) is None

    @property
    def may_go(self) -> bool:
        """Whether a gateway that leaves has said goodbye, or must not because slots are held here alone."""
        return self._membership.may_go or (self._membership.leaving and self._keeps_holding)

    def has_permit(self) -> bool:
        """Tell whether requests may be started now."""
        return self._clock() < self._membership.permit_until_s()

    def permit_s(self) -> float:
        """Return for how long requests may be started without news; 0 if not now."""
        return max(0.0, self._membership.permit_until_s() - self._clock())

    def can_tell(self, name: str) -> bool:
        """Tell whether a member is connected, so that it has our report."""
        return self.is_member and self._membership.is_linked(name)

    def suspects(self) -> set[tuple[str, str]]:
        """Return the processes of which it matters whether they have ended, by name and life."""
        self._holding = {share for share in self._holding if share.lost()}
        holders = {user for share in self._holding for ref in share.lost() for user in self._users(ref)}
        return holders | self._membership.suspects

    def share(self, service: str, limits: Limits, now_s: float) -> SharedDispatcher:
        """Return a service that this gateway serves from now on."""
        share = self._share(service, now_s)
        share.set_limits(limits, now_s)
        return share

    def drop(self, service: str) -> None:
        """Forget a service that is served no more."""
        self.shares.pop(service, None)

    def _share(self, service: str, now_s: float) -> SharedDispatcher:
        """Return a service; a peer may name one that this gateway will only learn of."""
        if (share := self.shares.get(service)) is None:
            share = self.shares[service] = SharedDispatcher(service, _NOTHING_YET, self, now_s)
            share.owner = self._owner(service)
            if share.owned and self.has_settled:
                share.settle(self._known_of(share), self.epoch, now_s)
        return share

    def _owner(self, service: str) -> str | None:
        return self.roster.owner(service) if self.roster is not None and self.is_member else None

    @property
    def has_settled(self) -> bool:
        """Whether all members have reported in the present epoch."""
        return self.epoch in self._settled

    def await_permit(self, deliver: Callable[[], None]) -> None:
        """Call this when requests may be started again."""
        self._unpermitted.append(deliver)

    def hold(self, ref: Ref, grace_s: float, now_s: float) -> Hold:
        """Return how long a slot of a lost gateway is kept: until nothing starts there and what runs has ended."""
        may_start_s = 0.0 if self._is_dead(ref) else self.times.permit_s * self.times.clock_error
        return Hold(now_s + may_start_s + grace_s, now_s + may_start_s)

    def _users(self, ref: Ref) -> Collection[tuple[str, str]]:
        """Return the processes that may use a held slot: if nobody knows which one does, each that is lost."""
        return [(ref.holder, ref.life)] if ref.holder else self._lost

    def was_out(self, ref: Ref) -> bool:
        """Tell whether a request's gateway was put out once, and let in again."""
        return self.roster is not None and self.roster.was_out(ref.holder, ref.life)

    def _is_dead(self, ref: Ref) -> bool:
        users = self._users(ref)
        return bool(users) and all(self._membership.is_dead(*user) for user in users)

    # Events.

    def connected(self, name: str, life: str, now_s: float) -> None:
        """Note a connection to a gateway."""
        self._now_s = now_s
        self._lives[name] = life
        self._reports.drop_part(name)
        self._membership.connected(name, life, self._clock())
        if self.can_tell(name):
            self._send_report(name)
        self._note_dead(now_s)
        self.tick(now_s)

    def disconnected(self, name: str, now_s: float, *, refused: bool = False) -> None:
        """Note that a connection broke; `refused` if the port refuses connections."""
        self._now_s = now_s
        if self._lives.pop(name, None) is not None:
            self._reports.drop_part(name)
            for share in self.shares.values():
                share.lost_link(name, now_s)
        self._membership.disconnected(name, refused=refused)
        self.tick(now_s)

    def received(self, name: str, message: object, now_s: float) -> None:
        """Take a message of a gateway that is connected.

        Raises:
            ValueError: it is malformed.
        """
        self._now_s = now_s
        parsed = parse(message)
        if parsed is not None and name in self._lives:
            self._take(name, parsed, now_s)

    def store_read(self, roster: Roster | None, began_s: float, now_s: float) -> None:
        """Take the store's roster; the read began at that time of the clock."""
        self._now_s = now_s
        self._membership.store_read(roster, began_s, self._clock())
        self.tick(now_s)

    def store_written(self, began_s: float, now_s: float, *, ok: bool) -> None:
        """Take the result of a write that began at that time of the clock; False if somebody was first."""
        self._now_s = now_s
        self._membership.store_written(began_s, self._clock(), ok=ok)
        self.tick(now_s)

    def store_failed(self, now_s: float) -> None:
        """Note that the store did not answer."""
        self._membership.store_failed()
        self.tick(now_s)

    def known_dead(self, name: str, life: str, now_s: float) -> None:
        """Note that a process has ended for certain."""
        self._now_s = now_s
        self._membership.known_dead(name, life)
        self._note_dead(now_s)
        self.tick(now_s)

    def leave(self, now_s: float) -> None:
        """Own nothing from now on; go when all own clients are served and others own what was owned here."""
        self._membership.leaving = True
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due; call it at least every `times.beat_s`."""
        self._now_s = now_s
        clock_s = self._clock()
        if self._membership.leaving:
            self._note_leaving()
        self._membership.tick(clock_s)
        if self._unpermitted and self.has_permit():
            unpermitted, self._unpermitted = self._unpermitted, []
            for deliver in unpermitted:
                deliver()
        self._refuse_if_cut_off(now_s, clock_s)

    def _note_leaving(self) -> None:
        """Find out whether nothing of its clients is left, and others know all slots that may be in use."""
        has_clients = any(share.has_clients for share in self.shares.values())
        holds = not self._membership.others and any(share.held for share in self.shares.values())
        settled = not self.is_member or self._settled_by.issuperset(self._membership.owners)
        self._membership.finished = settled and not (has_clients or holds)
        self._keeps_holding = holds and not has_clients

    def _refuse_if_cut_off(self, now_s: float, clock_s: float) -> None:
        since_s = self._membership.cut_off_since_s(clock_s)
        if since_s is None or clock_s < since_s + self.times.out_s:
            return
        for share in self.shares.values():
            if not (self.is_member and share.owner and (share.owned or self.can_tell(share.owner))):
                share.refuse_waiting(Refusal.CUT_OFF, now_s)

    def _note_dead(self, now_s: float) -> None:
        for share in self._holding:
            for ref in share.lost():
                if self._is_dead(ref):
                    share.known_dead(ref.holder, ref.life, now_s)

    # Messages.

    def _take(self, name: str, message: PeerMessage, now_s: float) -> None:
        clock_s = self._clock()
        match message["t"]:
            case "beat":
                self._membership.beat(name, message, clock_s)
            case "ack":
                self._membership.ack(name, message, clock_s)
            case "roster":
                self._membership.news(Roster.from_json(message["roster"]), clock_s)
            case "join":
                self._membership.asks_in(name, message["peer"], clock_s, own=message["own"])
            case _:
                if message["epoch"] == self.epoch and self.can_tell(name):
                    self._take_of_epoch(name, message, now_s)
                return
        self.tick(now_s)

    def _take_of_epoch(self, name: str, message: OfEpoch, now_s: float) -> None:
        """Take another member's message of the present epoch; any other is void, for its sender reports again."""
        match message["t"]:
            case "report":
                self._take_report(name, message)
            case "settled":
                self._take_settled(name)
            case _:
                self._take_for_service(name, message, now_s)

    def _take_for_service(self, name: str, message: OfService, now_s: float) -> None:
        share, life = self._share(message["s"], now_s), self._lives[name]
        match message["t"]:
            case "claim" if share.owned:
                share.claimed(name, life, message, now_s)
            case "end" if share.owned:
                share.ended(name, life, message, now_s)
            case "answered" if share.owned:
                share.pod_answered(message, now_s)
            case "grant" if share.owner == name:
                share.granted(message, now_s)
            case "ask" if share.owned:
                share.asked(name, life, message, now_s)
            case "quote" if share.owner == name:
                share.quoted(message)
            case "no" if share.owner == name:
                share.refused(message, now_s)

    # Epochs.

    def _new_epoch(self) -> None:
        """Follow a roster that has just been taken over."""
        self._settled_by.clear()
        self._reports.clear()
        self._lost = () if self.roster is None else self.roster.lost()
        for share in self.shares.values():
            owner = self._owner(share.service)
            continues = self._has_owned(share)
            share.new_epoch(owner, self.epoch, self._now_s, continues=continues)
            if share.whole:
                share.came_back([ref for ref in share.lost() if self._is_member(ref)])
        self._awaited = set(self._membership.others) if self.is_member else set()
        for name in self._lives:
            if self.can_tell(name):
                self._send_report(name)
        if self.is_member and not self._awaited:
            self._settle()

    def _has_owned(self, share: SharedDispatcher) -> bool:
        """Tell whether this process has owned a service ever since its book became whole."""
        roster, since = self.roster, share.whole_since
        return roster is not None and roster.owned_since(share.service, self.name, self.life, since)

    def _is_member(self, ref: Ref) -> bool:
        return self.roster is not None and self.roster.has(ref.holder, ref.life)

    def _send_report(self, name: str) -> None:
        """Tell a member all that it must know of its services, then whether all others have told us the same."""
        reports = {
            share.service: report
            for share in self.shares.values()
            if share.owner == name and (report := share.report(self._now_s)) is not None
        }
        for part in in_parts(reports, self.epoch, self._settled):
            self.out.send(name, part)
        if self.has_settled:
            self.out.send(name, {"t": "settled", "epoch": self.epoch})

    def _take_report(self, name: str, message: Report) -> None:
        services = self._reports.take(name, message, self._now_s)
        if services is None:
            return
        for service in services:
            self._share(service, self._now_s)
        for share in [each for each in self.shares.values() if each.owned]:
            share.reported(name, self._lives[name], services.get(share.service), self._now_s)
        self._awaited.discard(name)
        if not self._awaited and not self.has_settled:
            self._settle()

    def _settle(self) -> None:
        self._settled = [*self._settled, self.epoch][-_REMEMBERED:]
        for share in [each for each in self.shares.values() if each.owned]:
            if not share.whole:
                share.settle(self._known_of(share), self.epoch, self._now_s)
            self._hold_lost(share)
            if share.lost():
                self._holding.add(share)
        for name in self._membership.others:
            if self.can_tell(name):
                self.out.send(name, {"t": "settled", "epoch": self.epoch})

    def _hold_lost(self, share: SharedDispatcher) -> None:
        absent = [ref for ref in share.entries() if ref.holder and not self._is_member(ref)]
        gone = [ref for ref in absent if self._has_left(ref)]
        share.hold_lost([ref for ref in absent if ref not in gone], gone, self._now_s)

    def _has_left(self, ref: Ref) -> bool:
        return self.roster is not None and ref.life in self.roster.left

    def _take_settled(self, name: str) -> None:
        self._settled_by.add(name)
        for share in self.shares.values():
            if share.owner == name:
                share.drop_book()

    def _known_of(self, share: SharedDispatcher) -> Known | None:
        """Return what the last owner with a whole book knew of gateways that are lost; None if that owner is lost."""
        book = self._last_book(share)
        if book is None:
            return None
        lost = {ref: pod for ref, pod in book.pods.items() if not self._is_member(ref) and not self._has_left(ref)}
        return Known(lost, {ref: hold for ref, hold in book.holds.items() if ref in lost})

    def _last_book(self, share: SharedDispatcher) -> Known | None:
        """Return the book of the last owner with a whole one; None if that owner is lost."""
        roster = self.roster
        if roster is None:
            return None
        for past in reversed(roster.before):
            name = owner_of(past.members, share.service)
            if name is None:
                return NOTHING
            if not roster.has(name, past.members[name].life):
                return None
            if name == self.name and past.epoch in self._settled:
                return share.retained
            if name != self.name and past.epoch in self._reports.settled_by(name):
                return self._reports.book(name, share.service)
        return NOTHING if roster.remembers_all else None
