"""Hooks of mkdocs: formulas as MathML, and links to files outside docs/.

Fences of the language "math" become MathML at build time, so the site needs no script and the build no network. Files
outside docs/ that a page links to are copied into the site.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()(\.\./[^)#\s]+)((?:#[^)\s]*)?\))")


def formula(source: str, *_: Any, **__: Any) -> str:
    """A fence "math" as MathML.

    Raises:
        ValueError: for a command that the converter does not know.
    """
    mathml = convert(re.sub(r"(begin|end)\{aligned\}", r"\1{align*}", source.strip()), display="block")
    if unknown := re.search(r"\\\w+|<mi>&</mi>", mathml):
        raise ValueError(f"{unknown[0]} is not understood in the formula {source}")
    mathml = mathml.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")  # distributed as
    mathml = mathml.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em" />')
    return f'<div class="formula">{mathml}</div>'


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the fence."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": formula})
    return config


def in_site(link: str) -> str:
    """Place in the site of a file outside docs/; text files get the suffix .txt."""
    name = os.path.normpath(Path("docs") / link)
    return f"repository/{name}" + ("" if name.endswith((".png", ".jpg")) else ".txt")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Copy linked files outside docs/ into the site."""
    texts = [file.content_string for file in files.documentation_pages()]
    for link in sorted({match[2] for text in texts for match in LINK.finditer(text)}):
        files.append(File.generated(config, in_site(link), content=(ROOT / "docs" / link).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point such links into the site."""
    return LINK.sub(lambda match: match[1] + in_site(match[2]) + match[3], markdown)
