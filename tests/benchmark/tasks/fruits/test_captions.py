"""What is said about pictures of fruits, and the tokens that say it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
from hypothesis import given
from hypothesis import strategies as st

from papa.benchmark.tasks.fruits.captions import (
    CONTEXT,
    judging_caption,
    training_caption,
    words,
)
from papa.benchmark.tasks.fruits.render import draw_attributes
from recipes.fruits.vocabulary import clip_tokenizer, write_open_clip_merges

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_captions_are_true_of_their_picture_and_of_no_picture_that_differs_in_what_they_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    what, other = draw_attributes(rng), draw_attributes(rng)
    for caption in (training_caption(what, rng), judging_caption(what, rng)):
        assert caption.true_of(what)
        said = {name: getattr(caption, name) for name in ("kind", "colour", "count", "background", "size")}
        differs = any(value is not None and value != getattr(other, name) for name, value in said.items())
        assert caption.true_of(other) is not differs
        for name in ("colour", "background"):  # what it is known to say stands in the text
            assert said[name] is None or said[name] in caption.text


def test_both_tokenizers_give_one_token_for_every_word(tmp_path: Path) -> None:
    write_open_clip_merges(words(), tmp_path / "merges.txt.gz")
    theirs = open_clip.SimpleTokenizer(bpe_path=str(tmp_path / "merges.txt.gz"), context_length=CONTEXT)
    ours = clip_tokenizer(words())
    rng = np.random.default_rng(0)
    for text in [*(training_caption(draw_attributes(rng), rng).text for _ in range(300)), "a Zebra, red!"]:
        ids = ours(text).input_ids
        assert ids == [theirs.sot_token_id, *theirs.encode(text), theirs.eot_token_id]
        if "Zebra" not in text:
            assert len(ids) == len(text.split()) + 2 <= CONTEXT
    assert len(ours) == theirs.vocab_size
