"""A tokenizer of whole words, in the two formats of CLIP: transformers' and open_clip's.

Byte-pair merges are chosen so that every word of the captions is one token; any other word falls into
pieces, down to letters. Both libraries then give the same ids (only their padding differs).
"""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

from open_clip.tokenizer import bytes_to_unicode
from transformers import CLIPTokenizer

from papa.benchmark.tasks.fruits.captions import CONTEXT

START, END = "<|startoftext|>", "<|endoftext|>"

Merge = tuple[str, str]


def pieces(word: str, ranks: dict[Merge, int]) -> list[str]:
    """Byte-pair encoding: always the merge of the lowest rank, everywhere in the word."""
    parts = [*word[:-1], word[-1] + "</w>"]
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        merged: list[str] = []
        for part in parts:
            if merged and (merged[-1], part) == best:
                merged[-1] += part
            else:
                merged.append(part)
        parts = merged
    return parts


def merges(words: list[str]) -> list[Merge]:
    """Merges that make one token of each word; later merges never touch what earlier ones have joined."""
    ranks: dict[Merge, int] = {}
    for word in words:
        while len(parts := pieces(word, ranks)) > 1:
            ranks[parts[0], parts[1]] = len(ranks)
    return list(ranks)


def vocabulary(chosen: list[Merge]) -> dict[str, int]:
    """Token -> id, in CLIP's order: bytes, bytes at a word's end, merges, start, end."""
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in chosen), START, END]
    return {token: index for index, token in enumerate(tokens)}


def clip_tokenizer(words: list[str]) -> CLIPTokenizer:
    """The tokenizer of the pipeline."""
    chosen: Any = merges(words)
    return CLIPTokenizer(vocab=vocabulary(chosen), merges=chosen, model_max_length=CONTEXT)


def write_open_clip_merges(words: list[str], path: Path) -> None:
    """The same merges as open_clip reads them: gzip, a header line, one merge a line."""
    text = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges(words))])
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
