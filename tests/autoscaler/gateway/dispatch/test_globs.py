import re

from hypothesis import example, given
from hypothesis import strategies as st

from autoscaler.gateway.dispatch.globs import Glob

FEW_LETTERS = st.text("ab/", max_size=12)
PATTERNS = st.lists(st.text("ab/", max_size=3), min_size=1, max_size=9).map("*".join)


def by_backtracking(pattern, text):
    """The slow model: each star tries every length."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


@given(PATTERNS, FEW_LETTERS)
@example("*", "")
@example("a*a", "a")
@example("*ab*b", "ab")
def test_a_glob_matches_what_trying_every_length_of_each_star_matches(pattern, text):
    assert Glob.of(pattern.split("*")).matches(text) == by_backtracking(pattern, text)


class Counted:
    """A part that counts the characters between where a search began and where it ended."""

    def __init__(self, part, looked_at):
        self._part = part
        self._looked_at = looked_at

    def search(self, text, at, end):
        found = self._part.search(text, at, end)
        self._looked_at.append((found.end() if found else end) - at)
        return found


def looked_at(pattern, text):
    counts = []
    glob = Glob.of(pattern.split("*"))
    glob._replace(middle=tuple(Counted(part, counts) for part in glob.middle)).matches(text)
    return sum(counts)


@given(PATTERNS, st.text("ab/", max_size=200))
@example("/*a*a*a*a*a*a*a*ab", "/" + "a" * 200)
@example("/*/models/*/versions/*/infer", "/models/versions" * 20)
def test_no_pattern_searches_a_character_twice(pattern, text):
    assert looked_at(pattern, text) <= len(text)


def test_innocent_patterns_and_the_longest_path_are_no_work():
    path = "/models/versions" * 1024
    for pattern in ["/v1/*/models/*/infer", "/*/models/*/versions/*/infer", "/*a*a*a*a*a*a*a*ab", "*/*/*/*/*/*/*/*/x"]:
        assert looked_at(pattern, path) <= len(path)
        assert looked_at(pattern, "/" + "a" * 16_000) <= 16_001
