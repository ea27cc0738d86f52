"""The glossary's words stand in the code, and the words that they replaced stand neither there nor in the guides."""

import ast
import importlib
import re
from functools import reduce

import pytest
from documentation import ROOT, pages, table

from autoscaler.policy.schema import json_schema

PAGE = "reference/glossary.md"
WORDS = [*table(PAGE, "Glossary", "word"), *table(PAGE, "Inside", "word")]
OLD = {
    "look": "observation",
    "wish": "recommendation",
    "recall": "backfill",
    "resting": "idle",
    "visit": "proxied request",
    "luck": "random streams",
    "law": "control law",
    "leash": "die with parent",
    "rival": "foreign writer",
    "surplus": "replicas to remove",
    "tally": "aggregate",
    "told": "what it is",
    "afterwork": "background tasks",
    "newcomer": "unwarmed",
}
"""Words that are used no more, each with the one in its place."""
AS_ANOTHER_WORD = re.compile(r"look_?up|look_?back|control_?law|controller_?law", re.IGNORECASE)
READS_VERSION_1 = {
    "algorithms/safety_rules.py": {"wishes"},
    "autoscaler/controller/records.py": {"look", "wish", "recall"},
}
"""What 0.1.0 wrote is read under its own names."""
IN_PROSE = re.compile(
    r"\b(wish(es|ed)?|recall(s|ed)?|tally|leash(ed)?|rivals?|luck|resting|newcomers?|surplus)\b"
    r"|\b(a|the|each|one|this|every|next|last|first|two|between) (looks?|visits?)\b(?!.?(?:up|back))"
    r"|\b(is|are|was|were|be|been) told\b",
    re.IGNORECASE,
)
OF_EARLIER_RELEASES = {"how-to/upgrade.md": "## From 0.1.0", "reference/decision-log.md": "## Versions"}
"""Chapters at the end of a page that name what had another name before."""
FILES = [
    file for folder in ("algorithms", "autoscaler", "simulations") for file in sorted((ROOT / folder).rglob("*.py"))
]
GUIDES = [page for page in pages() if not page.startswith(("decisions/", "evidence/"))]


def attribute(owner, name):
    """Give an attribute; a field of a class need not have a value."""
    return None if name in getattr(owner, "__annotations__", {}) else getattr(owner, name)


def found(path):
    """Find what a dotted path names: a module, and what lies in it."""
    names = path.split(".")
    for length in range(len(names), 0, -1):
        try:
            module = importlib.import_module(".".join(names[:length]))
        except ModuleNotFoundError:
            continue
        return reduce(attribute, names[length:], module)
    raise ModuleNotFoundError(path)


@pytest.mark.parametrize(("word", "_meaning", "place"), WORDS, ids=[word for word, *_ in WORDS])
def test_a_word_stands_in_the_code_where_the_glossary_says(word, _meaning, place):
    found(place.strip("`"))


def parts(name):
    """Give the words of a name in the singular, in any spelling of compounds; without those of another meaning."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", AS_ANOTHER_WORD.sub("_", name))
    return {re.sub(r"(?<=sh)es$|(?<!s)s$", "", word.lower()) for word in words}


def names(tree):
    """Give every name in a module, and each text that is a single name: keys, metrics, flags."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.Constant(value=str(name)) if re.fullmatch(r"[\w./-]+", name):
                yield name


def old_names(file):
    """Give the names in a module, its own with them, that have an old word."""
    path = file.relative_to(ROOT)
    every = {*path.parts[:-1], path.stem, *names(ast.parse(file.read_text()))}
    return {name for name in every if parts(name) & OLD.keys()} - READS_VERSION_1.get(str(path), set())


def test_no_name_in_the_code_has_a_word_that_is_used_no_more():
    assert {str(file.relative_to(ROOT)): wrong for file in FILES if (wrong := old_names(file))} == {}


def old_sentences(file):
    found = {match[0] for match in IN_PROSE.finditer(file.read_text())}
    return found - READS_VERSION_1.get(str(file.relative_to(ROOT)), set())


def test_no_sentence_in_the_code_has_a_word_that_is_used_no_more():
    assert {str(file.relative_to(ROOT)): wrong for file in FILES if (wrong := old_sentences(file))} == {}


def test_no_field_of_a_policy_has_a_word_that_is_used_no_more():
    def keys(schema):
        for key, value in schema.items():
            if key == "properties":
                yield from value
            if isinstance(value, dict):
                yield from keys(value)

    assert {key for key in keys(json_schema()) if parts(key) & OLD.keys()} == set()


def old_words(page):
    text = pages()[page].partition(OF_EARLIER_RELEASES[page])[0] if page in OF_EARLIER_RELEASES else pages()[page]
    return [found[0] for found in IN_PROSE.finditer(text)]


@pytest.mark.parametrize("page", GUIDES)
def test_no_guide_has_a_word_that_is_used_no_more(page):
    assert old_words(page) == []
