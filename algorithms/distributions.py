"""Random durations: small frozen distributions that draw from the generator they are given, and are read from text.

Each is described by what can be measured (a mean, a coefficient of variation `cv`) rather than by its usual parameters;
its docstring has the formula that leads from one to the other. `str()` gives the text that `parse` reads.

Formulas: Law, *Simulation Modeling and Analysis*, chapter 6; balanced means of the hyperexponential: Whitt,
*Approximating a point process by a renewal process, I* (1982).
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Samples = NDArray[np.float64]


class Distribution(Protocol):
    """A distribution of non-negative numbers whose draws are independent."""

    def expected(self) -> float:
        """Give the expected value."""
        ...

    def samples(self, rng: Generator, n: int) -> Samples:
        """Draw n values."""
        ...

    def sample(self, rng: Generator) -> float:
        """Draw one value."""
        ...

    def scaled(self, by: float) -> "Distribution":
        """Give the distribution of `by` times a value of this one, for a positive `by`."""
        ...


class _Drawn:
    """What the distributions below share; each is a frozen dataclass of its parameters."""

    __slots__ = ()

    def samples(self, rng: Generator, n: int) -> Samples:
        raise NotImplementedError

    def sample(self, rng: Generator) -> float:
        return float(self.samples(rng, 1)[0])

    def __str__(self) -> str:
        parameters = ", ".join(f"{name}={_number(getattr(self, name))}" for name in _parameters(type(self)))
        return f"{type(self).__name__.lower()}({parameters})"


@dataclass(frozen=True, slots=True)
class _WithMean(_Drawn):
    """A family whose members differ by a factor, the mean."""

    mean: float

    def __post_init__(self) -> None:
        _require_positive("mean", self.mean)

    def unit(self, rng: Generator, n: int) -> Samples:
        """Draw n values of the member with mean 1."""
        raise NotImplementedError

    def expected(self) -> float:
        return self.mean

    def samples(self, rng: Generator, n: int) -> Samples:
        return self.mean * self.unit(rng, n)

    def scaled(self, by: float) -> Self:
        return replace(self, mean=self.mean * by)


@dataclass(frozen=True, slots=True)
class Constant(_Drawn):
    """Always the same value, which may be 0."""

    value: float

    def __post_init__(self) -> None:
        _require(0 <= self.value < math.inf, "value must be a finite number of at least 0")

    def expected(self) -> float:
        """Give the value."""
        return self.value

    def samples(self, rng: Generator, n: int) -> Samples:  # noqa: ARG002  # nothing to draw
        """Give n times the value."""
        return np.full(n, float(self.value))

    def scaled(self, by: float) -> Self:
        """Give the scaled constant."""
        return replace(self, value=self.value * by)


@dataclass(frozen=True, slots=True)
class Uniform(_Drawn):
    """Equally likely anywhere in [low, high)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(0 <= self.low <= self.high < math.inf, "low and high must be finite, with 0 <= low <= high")

    def expected(self) -> float:
        """Give the middle."""
        return (self.low + self.high) / 2

    def samples(self, rng: Generator, n: int) -> Samples:
        """Draw n values."""
        return rng.uniform(self.low, self.high, n)

    def scaled(self, by: float) -> Self:
        """Give the distribution with both ends scaled."""
        return replace(self, low=self.low * by, high=self.high * by)


@dataclass(frozen=True, slots=True)
class Exponential(_WithMean):
    """Without memory: its rate is 1 / mean, its coefficient of variation 1."""

    def unit(self, rng: Generator, n: int) -> Samples:
        """Draw n values of the exponential distribution with rate 1."""
        return rng.standard_exponential(n)


@dataclass(frozen=True, slots=True)
class Lognormal(_WithMean):
    """The exponential of a normal variable with standard deviation `sigma`.

    `mean` is that of the values themselves, so the normal variable's is ln(mean) - sigma^2 / 2. The coefficient of
    variation is sqrt(exp(sigma^2) - 1): about sigma while sigma is small.
    """

    sigma: float

    def __post_init__(self) -> None:
        _require_positive("mean", self.mean)
        _require(0 <= self.sigma < math.inf, "sigma must be a finite number of at least 0")

    def unit(self, rng: Generator, n: int) -> Samples:
        """Draw n values of the lognormal distribution with mean 1."""
        return rng.lognormal(-(self.sigma**2) / 2, self.sigma, n)


@dataclass(frozen=True, slots=True)
class Gamma(_WithMean):
    """Shape 1 / cv^2 and scale mean x cv^2; with cv = 1 it is the exponential distribution."""

    cv: float

    def __post_init__(self) -> None:
        _require_positive("mean", self.mean)
        _require_positive("cv", self.cv)

    def unit(self, rng: Generator, n: int) -> Samples:
        """Draw n values of the gamma distribution with mean 1."""
        return rng.gamma(self.cv**-2, self.cv**2, n)


@dataclass(frozen=True, slots=True)
class Hyperexp(_WithMean):
    """Hyperexponential, for bursts: short with probability p, else long, by balanced means; needs cv >= 1.

    p = (1 + sqrt((cv^2 - 1) / (cv^2 + 1))) / 2; the exponential phases have the means mean / 2p and mean / 2(1 - p),
    so that each brings half of the mean.
    """

    cv: float

    def __post_init__(self) -> None:
        _require_positive("mean", self.mean)
        _require(1 <= self.cv < math.inf, "cv must be a finite number of at least 1")

    def unit(self, rng: Generator, n: int) -> Samples:
        """Draw n values of the hyperexponential distribution with mean 1."""
        short = (1 + math.sqrt((self.cv**2 - 1) / (self.cv**2 + 1))) / 2
        means = np.where(rng.random(n) < short, 0.5 / short, 0.5 / (1 - short))
        return rng.standard_exponential(n) * means


@dataclass(frozen=True, slots=True)
class Hyperexp2(_Drawn):
    """Exponential with mean `mean1` with probability p, else with mean `mean2`."""

    p: float
    mean1: float
    mean2: float

    def __post_init__(self) -> None:
        _require(0 <= self.p <= 1, "p must be from 0 to 1")
        _require_positive("mean1", self.mean1)
        _require_positive("mean2", self.mean2)

    def expected(self) -> float:
        """Give the mean of both together."""
        return self.p * self.mean1 + (1 - self.p) * self.mean2

    def samples(self, rng: Generator, n: int) -> Samples:
        """Draw n values."""
        return rng.standard_exponential(n) * np.where(rng.random(n) < self.p, self.mean1, self.mean2)

    def scaled(self, by: float) -> Self:
        """Give the distribution with both means scaled."""
        return replace(self, mean1=self.mean1 * by, mean2=self.mean2 * by)


_LEAST_SHAPE, _GREATEST_SHAPE = 0.1, 200.0
"""Of a Weibull distribution: coefficients of variation from 430 down to 0.0064."""


@dataclass(frozen=True, slots=True)
class Weibull(_WithMean):
    """The shape k solves 1 + cv^2 = gamma(1 + 2/k) / gamma(1 + 1/k)^2; with cv = 1 it is the exponential distribution.

    The scale is mean / gamma(1 + 1/k).
    """

    cv: float

    def __post_init__(self) -> None:
        _require_positive("mean", self.mean)
        _require(0.01 <= self.cv <= 400, "cv must be from 0.01 to 400")  # noqa: PLR2004  # within the shapes above

    def shape(self) -> float:
        """Solve for the shape, by bisection of its logarithm."""
        low, high = math.log(_LEAST_SHAPE), math.log(_GREATEST_SHAPE)
        for _ in range(60):
            middle = (low + high) / 2
            inverse = math.exp(-middle)
            too_varied = math.lgamma(1 + 2 * inverse) - 2 * math.lgamma(1 + inverse) > math.log1p(self.cv**2)
            low, high = (middle, high) if too_varied else (low, middle)
        return math.exp((low + high) / 2)

    def unit(self, rng: Generator, n: int) -> Samples:
        """Draw n values of the Weibull distribution with mean 1."""
        shape = self.shape()
        return rng.weibull(shape, n) / math.gamma(1 + 1 / shape)


Kind = type[Constant | Uniform | Exponential | Lognormal | Gamma | Weibull | Hyperexp | Hyperexp2]
_ALL: tuple[Kind, ...] = (Constant, Uniform, Exponential, Lognormal, Gamma, Weibull, Hyperexp, Hyperexp2)
KINDS: dict[str, Kind] = {kind.__name__.lower(): kind for kind in _ALL}
"""What `parse` knows, by name."""


def parse(text: str) -> Distribution:
    """Read a distribution such as `uniform(10, 60)`, `lognormal(mean=8, sigma=0.3)` or, for a constant, `8`.

    Raises:
        ValueError: the text is no distribution, or a parameter is out of range; the message quotes the text.
    """
    name, bracket, rest = text.strip().partition("(")
    if not bracket:
        name, rest = "constant", f"{name})"
    try:
        _require(name.strip() in KINDS, f"the distributions are {', '.join(KINDS)}")
        _require(rest.endswith(")"), "the closing bracket is missing")
        return _make(KINDS[name.strip()], rest[:-1].split(","))
    except ValueError as error:
        raise ValueError(f"{text!r} is no distribution: {error}") from error


def _make(kind: Kind, arguments: list[str]) -> Distribution:
    """Make a distribution from its parameters, by place or by name as in a call."""
    names = _parameters(kind)
    given: dict[str, float] = {}
    for place, argument in zip(names, arguments, strict=False):
        name, equals, value = argument.rpartition("=")
        given[name.strip() if equals else place] = float(value)
    complete = len(arguments) == len(names) and given.keys() == set(names)
    _require(complete, f"{kind.__name__.lower()} takes {' and '.join(names)}")
    return kind(**given)


def _parameters(kind: type[Any]) -> list[str]:
    return [parameter.name for parameter in fields(kind)]


def _number(value: float) -> str:
    """Give the shortest text that reads back as the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _require_positive(name: str, value: float) -> None:
    _require(0 < value < math.inf, f"{name} must be a finite number above 0")


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001  # reads as an assertion
    if not holds:
        raise ValueError(otherwise)
