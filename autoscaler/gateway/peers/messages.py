"""What gateways tell each other: objects of JSON, one a line. Unknown fields and types are ignored.

Ages and times left are in seconds at the moment of sending, because no two clocks are compared.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

_Age = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Number = Annotated[int, Field(ge=0, lt=2**53)]
_Text = Annotated[str, Field(max_length=1024)]
_lax = with_config(ConfigDict(extra="ignore", strict=True))


@_lax
class Beat(TypedDict):
    """I live, and hear these."""

    t: Literal["beat"]
    n: _Number
    epoch: _Number
    hears: list[_Text]


@_lax
class Ack(TypedDict):
    """I had your beat in this epoch."""

    t: Literal["ack"]
    n: _Number
    epoch: _Number


@_lax
class News(TypedDict):
    """The roster."""

    t: Literal["roster"]
    roster: dict[str, Any]


@_lax
class Join(TypedDict):
    """Let me in."""

    t: Literal["join"]
    peer: _Text
    own: bool


@_lax
class Settled(TypedDict):
    """I have all reports of this epoch: the books of my services are whole."""

    t: Literal["settled"]
    epoch: _Number


@_lax
class Claim(TypedDict):
    """One of my clients needs a slot; `again` if an owner held it before."""

    t: Literal["claim"]
    s: _Text
    epoch: _Number
    r: _Number
    age: _Age
    kind: Literal["Count", "Pass", "Tunnel"]
    pin: _Text | None
    cap: _Number
    wakes: bool
    turn: Annotated[tuple[_Number, _Text], Field(strict=False)]
    again: bool


@_lax
class GrantMessage(TypedDict):
    """Your request may go to this pod; `longest` is the longest service time that I know of."""

    t: Literal["grant"]
    s: _Text
    epoch: _Number
    r: _Number
    pod: _Text
    addr: _Text
    longest: _Age


@_lax
class No(TypedDict):
    """Your request is refused."""

    t: Literal["no"]
    s: _Text
    epoch: _Number
    r: _Number
    why: Literal["queue_full", "asleep"]


@_lax
class End(TypedDict):
    """My request has ended, or its pod refused it, or a tunnel was accepted."""

    t: Literal["end"]
    s: _Text
    epoch: _Number
    r: _Number
    how: Literal["done", "gone", "refused", "opened"]


@_lax
class Answered(TypedDict):
    """A pod answered one of my requests, well or not."""

    t: Literal["answered"]
    s: _Text
    epoch: _Number
    pod: _Text
    well: bool


@_lax
class Ask(TypedDict):
    """How long will my request wait? 0 stands for one that would arrive now."""

    t: Literal["ask"]
    s: _Text
    epoch: _Number
    r: _Number


@_lax
class QuoteMessage(TypedDict):
    """Your request waits this long: in half of the futures, and in nine tenths of them."""

    t: Literal["quote"]
    s: _Text
    epoch: _Number
    r: _Number
    position: _Number
    p50: _Age
    p90: _Age
    basis: Literal["measured", "configured"]


Run = Annotated[tuple[_Number, _Text], Field(strict=False)]
"""A request of the sender that a pod runs."""
BookSlot = Annotated[tuple[_Text, _Text, _Text, _Number, _Age | None], Field(strict=False)]
"""A slot in use: pod, holder, the holder's life, request, and for a held slot how long it is still held."""


@_lax
class ServiceReport(TypedDict):
    """What the sender has of one service that the receiver owns."""

    runs: list[Run]
    waits: list[Claim]
    book: list[BookSlot]
    longest: _Age


@_lax
class Report(TypedDict):
    """All that the sender has of the receiver's services, in parts; it is complete with the `last` one.

    `settled` has the epochs that the sender settled, so that the books of the services that it owned then were whole.
    """

    t: Literal["report"]
    epoch: _Number
    first: bool
    last: bool
    settled: list[_Number]
    services: dict[_Text, ServiceReport]


OfService = Claim | GrantMessage | No | End | Answered | Ask | QuoteMessage
"""What concerns one service."""
OfEpoch = OfService | Settled | Report
"""What is void in another epoch."""
PeerMessage = Beat | Ack | News | Join | OfEpoch
_ADAPTER: TypeAdapter[PeerMessage] = TypeAdapter(Annotated[PeerMessage, Field(discriminator="t")])
_KNOWN = frozenset(
    {"beat", "ack", "roster", "join", "settled", "claim", "grant", "no", "end", "answered", "report", "ask", "quote"}
)


def parse(message: object) -> PeerMessage | None:
    """Check a message; None for one of a type that only a later release knows.

    Raises:
        ValueError: it is malformed; the message says where.
    """
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise ValueError(f"not a message of a gateway: {str(message)[:60]!r}")  # noqa: TRY004 - of the same kind as below
    if message["t"] not in _KNOWN:
        return None
    try:
        return _ADAPTER.validate_python(message)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"malformed message {message['t']!r}: {where}: {first['msg']}") from error
