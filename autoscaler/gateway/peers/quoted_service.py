"""What gateways ask each other about waits: only the owner of a service knows how long a counted request will wait."""

from collections.abc import Callable, Hashable
from enum import Enum

from autoscaler.gateway.dispatch.outlook import Outlook
from autoscaler.gateway.peers.book import Ref
from autoscaler.gateway.peers.claims import Claim
from autoscaler.gateway.peers.messages import Ask, QuoteMessage
from autoscaler.gateway.peers.shared_service import SharedService

AnyQuote = tuple[int, float, float, Enum]
"""A position, two durations and what they follow from; see `quotes`."""


class QuotedService(SharedService):
    """One service at one gateway.

    Attributes:
        quote_of: at the owner, gives how long another gateway's request will wait, or one that would arrive now.
        on_quote: is given the owner's answer about an own request, or one that would arrive now.
    """

    quote_of: Callable[[Ref | None], AnyQuote | None] | None = None
    on_quote: Callable[[Hashable | None, QuoteMessage], None] | None = None

    def outlook(self) -> Outlook:
        """Return what can be known here of the grants to come: only the owner knows of counted requests.

        Requests of own clients have their own names in it, and others those of the book.
        """
        return self._local.outlook().renamed(self._own_name)

    def _own_name(self, request: Hashable) -> Hashable:
        claim = self._claims.numbered(request) if isinstance(request, Ref) else request
        return claim.request if isinstance(claim, Claim) else request

    def ask_quote(self, request: Hashable | None) -> None:
        """Ask the owner how long an own request will wait, or for None one that would arrive now."""
        claim = None if request is None else self._claims.get(request)
        if request is None or (claim is not None and claim.pod is None):
            self._tell({"t": "ask", "r": 0 if claim is None else claim.ref.number})

    def asked(self, holder: str, life: str, message: Ask, now_s: float) -> None:
        """Answer a gateway that asks how long a request waits; without a quote there is no answer."""
        self._advance(now_s)
        ref = Ref(holder, life, message["r"]) if message["r"] else None
        waits = ref is None or (ref in self._owned.requests and ref not in self._owned.book)
        quote = self.quote_of(ref) if self.quote_of is not None and self.whole and waits else None
        if quote is not None:
            position, p50_s, p90_s, basis = quote
            answer = {"position": position, "p50": p50_s, "p90": p90_s, "basis": basis.value}
            self._send(holder, {"t": "quote", "r": message["r"], **answer})

    def quoted(self, message: QuoteMessage) -> None:
        """Take the owner's answer, unless the request has been granted or has ended since."""
        claim = self._claims.numbered(Ref(self._group.name, self._group.life, message["r"]))
        waits = claim.pod is None if claim is not None else not message["r"]
        if self.on_quote is not None and waits:
            self.on_quote(None if claim is None else claim.request, message)
