"""Docstrings of this package as the API reference shows them.

Ours are prose with paragraphs that begin with a word (`Args:`, `Returns:`, `Raises:`, ...), and name several arguments
in one paragraph. For the reference each of these words is set in bold, and each argument becomes an item of a list.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

WORDS = ("Args", "Attributes", "Returns", "Raises", "Source")
BEGINS = re.compile(rf"^\s*({'|'.join(WORDS)}):\s+", re.MULTILINE)
NAMES = re.compile(r"(?:^|(?<=[.;)] ))((?:[a-z]\w*)(?:, [a-z]\w*)*): ")
"""`name: ` or `name, name: ` at the beginning of a sentence."""


def listed(text: str) -> str:
    """`name: what it is. other: ...` as a list."""
    pieces = NAMES.split(" ".join(text.split()))
    before, found = pieces[0], list(zip(pieces[1::2], pieces[2::2], strict=True))
    items = [f"* {', '.join(f'`{name}`' for name in names.split(', '))}: {what.strip()}" for names, what in found]
    return "\n".join([before.strip(), "", *items, ""]) if items else before


def as_markdown(docstring: str) -> str:
    """A docstring with its words in bold, each in a paragraph of its own, and lists of arguments."""
    parts = BEGINS.split(docstring)
    shown = [parts[0].rstrip()]
    for word, text in zip(parts[1::2], parts[2::2], strict=True):
        body, rest = [*re.split(r"\n\s*\n", text, maxsplit=1), ""][:2]
        body = listed(body) if word in ("Args", "Attributes") else " ".join(body.split())
        shown += [f"**{word}:** {body}" if not body.startswith("\n") else f"**{word}:**\n{body}", rest.rstrip()]
    return "\n\n".join(part for part in shown if part)


class Sections(Extension):
    """Applies `as_markdown` to everything that has a docstring."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
