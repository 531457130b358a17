"""What mkdocs is told beyond mkdocs.yml: formulas, and links that leave the folder docs/.

Formulas stand in fences of the language "math", as GitHub shows them, and become MathML while the site is built.
Browsers draw MathML themselves, so the site needs no script and no fonts for it, and the build needs no network.

README and CONTRIBUTING are pages of the site; they stay where they are. Any other file of the repository that a page
links to is put into the site as text, so that a link works in a checkout, on GitHub and in the site.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PICTURES = (".png", ".jpg")
PAGES = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages that stand outside of docs/ -> their place in the site."""
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def formula(source: str, *_: Any, **__: Any) -> str:
    """A fence "math" as MathML.

    The converter knows `aligned` by its other name, takes the sign of a distribution for a letter, and leaves no space
    after log.

    Raises:  ValueError for a command that the converter does not know; it would stand in the page as it is.
    """
    mathml = convert(re.sub(r"(begin|end)\{aligned\}", r"\1{align*}", source.strip()), display="block")
    if unknown := re.search(r"\\\w+|<mi>&</mi>", mathml):
        raise ValueError(f"{unknown[0]} is not understood in the formula {source}")
    mathml = mathml.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")
    mathml = mathml.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em" />')
    return f'<div class="formula">{mathml}</div>'


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the fence."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": formula})
    return config


def place_of(page: str) -> Path:
    """The folder in the repository from which a page's links go out."""
    sources = {site: source for source, site in PAGES.items()}
    return ROOT if page in sources else (ROOT / "docs" / page).parent


def target_of(link: str, page: str) -> Path | None:
    """The path in the repository, relative to its root, of a relative link; None for any other link."""
    if re.match(r"[a-z]+:", link):
        return None
    return Path(os.path.relpath(place_of(page) / link, ROOT))


def in_site(target: Path) -> str:
    """Where the site has a path of the repository."""
    if target.parts[0] == "docs":
        return target.relative_to("docs").as_posix()
    name = f"repository/{target.as_posix()}"
    return PAGES.get(target.as_posix(), name if target.suffix in PICTURES else f"{name}.txt")


def relinked(markdown: str, page: str) -> str:
    """A page with links to where the site has their targets."""

    def replaced(match: re.Match[str]) -> str:
        if (target := target_of(match[2], page)) is None:
            return match[0]
        return match[1] + os.path.relpath(in_site(target), Path(page).parent) + match[3]

    return LINK.sub(replaced, markdown)


def linked_files(pages: dict[str, str]) -> Iterator[Path]:
    """The files outside of docs/ that pages link to and that are no pages, each once."""
    links = ((match[2], page) for page, text in pages.items() for match in LINK.finditer(text))
    targets = {target for link, page in links if (target := target_of(link, page)) is not None}
    for target in sorted(targets):
        if target.parts[0] != "docs" and target.as_posix() not in PAGES and (ROOT / target).is_file():
            yield target


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README, CONTRIBUTING, and what pages link to."""
    for source, site in PAGES.items():
        files.append(File.generated(config, site, content=(ROOT / source).read_text(encoding="utf-8")))
    texts = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for target in linked_files(texts):
        files.append(File.generated(config, in_site(target), content=(ROOT / target).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page into the site."""
    return relinked(markdown, page.file.src_uri)
