"""The blocks of README and docs/, and what stands in a comment before a block.

    <!-- test: skip, needs a GPU -->              is not run, for the reason that the test prints
    <!-- test: "labels=80" -> "labels=8" -->      is run with that in its place; several are divided by semicolons

A comment stands on a line of its own right before the block. Readers do not see it, on GitHub or in the site.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- test: (?P<note>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
TEXT = r'"(?:[^"\\]|\\.)*"'
CHANGE = re.compile(rf"({TEXT}) -> ({TEXT})")


@dataclass(frozen=True)
class Block:
    """A block of a page. line: of its fence, from 1. note: what the comment before it says."""

    page: Path
    line: int
    language: str
    text: str
    note: str

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def skipped(self) -> str | None:
        """Why it is not run; None where it is."""
        return self.note.removeprefix("skip, ") if self.note.startswith("skip, ") else None

    @property
    def runnable(self) -> str:
        """The text with what its note changes.

        Raises:  AssertionError for a note that says nothing, or changes what is not there.
        """
        changes = [(json.loads(old), json.loads(new)) for old, new in CHANGE.findall(self.note)]
        assert CHANGE.sub("", self.note).strip("; ") == "", f"{self.name}: this note is not understood: {self.note}"
        text = self.text
        for old, new in changes:
            assert old in text, f"{self.name}: the note changes {old!r}, which the block does not have"
            text = text.replace(old, new)
        return text


def blocks(language: str, but: tuple[str, ...] = ()) -> list[Block]:
    """The blocks of one language, those of the pages named `but` left out."""
    return [
        Block(page, text[: match.start("text")].count("\n"), language, match["text"], match["note"] or "")
        for page in PAGES
        if page.name not in but
        for text in [page.read_text(encoding="utf-8")]
        for match in BLOCK.finditer(text)
        if match["language"] == language
    ]


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block as words: comments and what is assigned before a command left out."""
    lexer = shlex.shlex(text.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=";&|()")
    lexer.commenters, lexer.whitespace_split = "", True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(";&|()"):
            found.append([])
        elif found[-1] or not re.fullmatch(r"\w+=\S*", word):
            found[-1].append(word)
    return [words for words in found if words]


def uncommented(text: str) -> str:
    """A shell block without its comments."""
    return re.sub(r"(^|\s)#.*$", "", text, flags=re.M)
