"""Walk through schedules of several gateways for as long as you like: `make explore-gateways ARGS="--seconds 3600"`."""
# ruff: noqa: T201 - it is a program

import argparse
import sys
from time import monotonic

from peer_explorer import explore, shortened, walk
from peer_scopes import LARGE, SMALL, WALKS

FAULT_RATES = (0.01, 0.04, 0.1)
STEPS = 1000


def main() -> int:
    """Exhaust the small scopes, go into the large ones, then walk at random; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--states", type=int, default=0, help="how far to go into each of the large scopes")
    arguments = parser.parse_args()
    for scope in SMALL + (LARGE if arguments.states else ()):
        seen = explore(scope, most=10**9 if scope in SMALL else arguments.states)
        print(seen)
        if seen.finding:
            print(seen.finding)
            return 1
    until_s, seed, walks = monotonic() + arguments.seconds, arguments.seed, 0
    while monotonic() < until_s:
        for scope in WALKS:
            for rate in FAULT_RATES:
                finding = walk(scope, seed, STEPS, rate).finding
                walks += 1
                if finding:
                    print(f"{scope.name}, seed {seed}, fault rate {rate}: {shortened(scope, finding)}")
                    return 1
        seed += 1
    print(f"{walks} random walks of {STEPS} steps: no broken promise")
    return 0


if __name__ == "__main__":
    sys.exit(main())
