"""The pages of docs/ as the tests of this folder read them: tables, blocks, links, commands."""

import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MARKDOWN = MarkdownIt("commonmark").enable("table")
BETWEEN_COMMANDS = re.compile(r"[|&;()]+")
"""What separates commands of a line; a redirection is a part of its command."""
SHELL_WORDS = {"do", "then", "else", "if", "while", "until", "!", "time", "{"}
"""Words behind which a command begins."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    language: str
    content: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@functools.cache
def pages() -> dict[str, str]:
    """Give every page, by its path below docs/."""
    return {str(file.relative_to(DOCS)): file.read_text() for file in sorted(DOCS.rglob("*.md"))}


@functools.cache
def _parsed(text: str) -> list[Token]:
    return MARKDOWN.parse(text)


def blocks(*languages: str) -> list[Block]:
    """Give the blocks of all pages that are in one of these languages; of none: all blocks."""
    found = [
        Block(page, token.map[0] + 1, token.info.strip(), token.content)
        for page, text in pages().items()
        for token in _parsed(text)
        if token.type == "fence"
    ]
    return [block for block in found if not languages or block.language in languages]


def blocks_of(page: str) -> list[Block]:
    """Give the blocks of one page in order."""
    return [block for block in blocks() if block.page == page]


def inline(text: str, kind: str) -> list[Token]:
    """Give the tokens of one kind, such as `code_inline`, in a page."""
    tokens = [token for token in _parsed(text) if token.type == "inline"]
    return [child for token in tokens for child in token.children if child.type == kind]


def numbered_rows(page: str) -> dict[int, str]:
    """Give the rest of each row of a page's tables that begins with a number, by that number."""
    rows = re.findall(r"(?m)^\| (\d+) \| (.*) \|$", (DOCS / page).read_text())
    assert len(dict(rows)) == len(rows), f"{page} has a number twice"
    return {int(number): rest for number, rest in rows}


def table(page: str, heading: str, first: str, *, deep: bool = False) -> list[list[str]]:
    """Give the rows of a chapter's tables whose first column has this title; with those of inner chapters if deep."""
    text = pages()[page]
    level, rest = re.search(rf"(?ms)^(#+) {re.escape(heading)}$(.*)", text).groups()
    chapter = re.split(rf"(?m)^#{{1,{len(level) if deep else 6}}} ", rest)[0]
    rows: list[list[str]] = []
    is_it = False
    for line in chapter.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells or set(cells[0]) == {"-"}:
            is_it = is_it and bool(cells)
        elif is_it:
            rows.append(cells)
        else:
            is_it = cells[0] == first
    return rows


def script(block: Block) -> str:
    """Give what a block tells the reader to type: all of it, or what follows the prompts of a `console` block."""
    if block.language == "sh":
        return block.content
    typed = re.findall(r"(?m)^\$ ((?:.*\\\n)*.*)$", block.content)
    assert typed, f"{block} shows no prompt"
    return "\n".join(typed)


def commands(block: Block) -> Iterator[list[str]]:
    """Give the words of each command in a script, without assignments, redirections and what lies in here-documents."""
    text = re.sub(r"(?ms)<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?^\s*\2$", r"\3", script(block).replace("\\\n", " "))
    text = re.sub(r"(?m)(^|\s)#.*$", "", text)
    lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not BETWEEN_COMMANDS.fullmatch(word):
            words.append(word)
        elif command := _bare(words):
            yield command
            words = []
        else:
            words = []


def _bare(words: list[str]) -> list[str]:
    """Take off a shell's own words and assignments, and redirections with their files."""
    while words and (words[0] in SHELL_WORDS or re.match(r"\w+=", words[0])):
        words = words[1:]
    kept = [word for before, word in zip(["", *words], words, strict=False) if not {"<", ">"} & {word[:1], before[:1]}]
    return kept if kept and kept[0] not in {"for", "done", "fi", "}"} else []


def documents(block: Block) -> list[dict]:
    """Give the documents of a block of YAML."""
    return [document for document in yaml.safe_load_all(block.content) if document is not None]


def kind_of(document: dict) -> tuple[str, ...]:
    """Give the group and the kind that a document states; of one that states none, its keys."""
    group = str(document.get("apiVersion", "")).rpartition("/")[0]
    return (group, document["kind"]) if "kind" in document else tuple(document)


def is_part_of_a_kustomization(document: dict) -> bool:
    """Tell whether a document has keys to add to a `kustomization.yaml`, and not all of one."""
    return "patches" in document and document.keys() <= {"components", "patches"}


def typed_pages() -> set[str]:
    """Give the pages whose commands tests type."""
    types = re.compile(r"(?:\b(?:typed|[Pp]age)(?:\(|, )|\bPAGE = )\"([\w/-]+\.md)\"")
    return {page for file in (ROOT / "tests").rglob("*.py") for page in types.findall(file.read_text())}


def census() -> str:
    """Count pages and blocks, and how the blocks are held true."""
    found, typed = blocks(), typed_pages()
    text = sum(block.language == "text" for block in found)
    run = sum(block.language in {"sh", "console"} and block.page in typed for block in found)
    return (
        f"{len(pages())} pages, {len(found)} blocks: {run} of commands typed by tests, "
        f"{len(found) - run - text} others validated, {text} of text"
    )


if __name__ == "__main__":
    print(census())  # noqa: T201
