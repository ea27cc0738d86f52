"""Settings of `spec.traffic.priority` and `spec.traffic.fairness`: which of the requests that wait goes first."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from autoscaler.documents.fields import RULES, Percent, ResourceModel, Shape, between, rule
from autoscaler.policy.http_texts import Host, PathGlob, Token
from autoscaler.policy.target_ref import LABEL


class ClassHeader(ResourceModel):
    """A header that a trusted proxy sets."""

    name: Token
    """Its name."""
    value: Annotated[
        str, Shape(r"[!-~]([ -~]*[!-~])?", "printable characters of ASCII, without a space at an end", 256)
    ]
    """The whole value."""


_CONDITION = ("header", "paths", "hosts")
_NO_CONDITION = f"must have at least one of {', '.join(_CONDITION)}"


class ClassMatch(ResourceModel):
    """Conditions for a class; all that are given must hold."""

    model_config = ConfigDict(
        json_schema_extra={RULES: [rule(" || ".join(f"has(self.{each})" for each in _CONDITION), _NO_CONDITION)]}
    )

    header: ClassHeader | None = None
    """Only used if a proxy of the gateway's `--trusted-proxies` sent the request, and if the header is there once."""
    paths: Annotated[tuple[PathGlob, ...], Field(min_length=1, max_length=64)] | None = None
    """Paths, one of which must match, as in `paths` of `traffic`. If servers may read a path in different ways, the
    lowest of their classes applies."""
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=64)] | None = None
    """Hosts, one of which must match, as in `hosts` of `traffic`."""

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if all(getattr(self, each) is None for each in _CONDITION):
            raise ValueError(_NO_CONDITION)
        return self


class PriorityClass(ResourceModel):
    """Requests of equal rank."""

    name: Annotated[str, Shape(LABEL, "a DNS label: lower-case letters, digits and -", 63)]
    """Its name in metrics and in the simulator's report."""
    match: Annotated[tuple[ClassMatch, ...], Field(min_length=1, max_length=16)] | None = None
    """A request is in the class if one of these holds. Absent in exactly one class, which has all other requests."""
    share: Annotated[Percent, between("0%", "100%")] = 0.1
    """The class gets at least this share of the slots that become free while it waits, whatever waits above it."""


_ONE_FOR_THE_OTHERS = "classes: exactly one must have no match; it has all other requests"
_UNIQUE_CLASSES = "classes: must have unique names"
_NOT_MORE_THAN_ALL = "classes: their shares must be at most 100% together; a class without a share has 10%"
_ROUNDING = 1e-9
_SHARES_CEL = "self.classes.map(each, has(each.share) ? double(each.share.replace('%', '')) : 10.0).sum()"


class Priority(ResourceModel):
    """A waiting request of a higher class goes before one of a lower class. What runs is not interrupted."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule("self.classes.exists_one(each, !has(each.match))", _ONE_FOR_THE_OTHERS),
                rule(
                    "self.classes.all(each, self.classes.exists_one(other, other.name == each.name))", _UNIQUE_CLASSES
                ),
                rule(f"{_SHARES_CEL} <= {100 * (1 + _ROUNDING)}", _NOT_MORE_THAN_ALL),
            ]
        }
    )

    classes: Annotated[tuple[PriorityClass, ...], Field(min_length=2, max_length=8)]
    """From the highest to the lowest; of those that match a request, the first. Each has a queue of
    `queue.maxLength`."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if sum(each.match is None for each in self.classes) != 1:
            raise ValueError(_ONE_FOR_THE_OTHERS)
        if len({each.name for each in self.classes}) < len(self.classes):
            raise ValueError(_UNIQUE_CLASSES)
        if sum(each.share for each in self.classes) > 1 + _ROUNDING:
            raise ValueError(_NOT_MORE_THAN_ALL)
        return self


_NAMED = "name: is required for cookie and header, and not allowed for address"


class Fairness(ResourceModel):
    """Clients take turns: a client's next request goes behind one request of each other client that waits.

    A full queue still takes the first request of a client that has none there, up to twice `queue.maxLength`.
    """

    model_config = ConfigDict(json_schema_extra={RULES: [rule("(self.by == 'address') != has(self.name)", _NAMED)]})

    by: Literal["cookie", "header", "address"]
    """What tells clients apart. address: the client's address as in the request log; all addresses of an IPv6 /64 are
    one client. cookie: the value of a cookie, which a client can invent. header: the value of a header, if a proxy of
    `--trusted-proxies` sent the request. Without the cookie or the header, the address."""
    name: Token | None = None
    """The name of the cookie or of the header."""

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if (self.by == "address") == (self.name is not None):
            raise ValueError(_NAMED)
        return self
