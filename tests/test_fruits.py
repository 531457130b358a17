"""The fruits task: its renderer, captions, tokenizer, trainings and shipped artefacts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given
from hypothesis import strategies as st

from papa.config import FruitsSettings
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.provenance import file_sha256
from papa.rng import Stream
from papa.tasks.artefacts import folder, verified_card
from papa.tasks.fruits import Fruits, to_range
from papa.tasks.fruits.autoencoder import new_autoencoder, psnr, train_autoencoder
from papa.tasks.fruits.captions import (
    CONTEXT,
    Caption,
    concept_prompt,
    judging_caption,
    kind_prompt,
    phrase,
    training_caption,
    words,
)
from papa.tasks.fruits.diffusion import TIMESTEPS, new_scheduler, train_diffusion
from papa.tasks.fruits.judging import contrastive, train_attributes, train_clip
from papa.tasks.fruits.nets import attribute_judge
from papa.tasks.fruits.render import (
    BACKGROUNDS,
    COLOURS,
    CONCEPTS,
    KINDS,
    SIZE,
    Attributes,
    draw_attributes,
    ellipse,
    pictures,
    render,
    segment,
    union,
)
from papa.tasks.fruits.training import batches
from papa.tasks.fruits.vocabulary import clip_tokenizer, merges, pieces, write_open_clip_merges

seeds = st.integers(0, 2**32 - 1)


def quiet(message: str) -> None:
    """No progress."""


def some(n: int) -> tuple[torch.Tensor, list[Attributes]]:
    images, shown = pictures(n, np.random.default_rng(0))
    return to_range(images), shown


# ---------------------------------------------------------------- the renderer


@given(seeds)
def test_distances_are_negative_inside_and_grow_outside(seed: int) -> None:
    u, v = np.random.default_rng(seed).normal(0, 1, (2, 50))
    far = np.hypot(u, v)
    np.testing.assert_allclose(ellipse(u, v, 0.7, 0.7), far - 0.7, atol=1e-12)
    np.testing.assert_allclose(segment(u, v, (0, 0), (1e-9, 0)), far, atol=1e-6)
    a, b = ellipse(u, v, 0.5, 0.9), ellipse(u - 1, v, 0.4, 0.4)
    np.testing.assert_allclose(union(a, b), np.minimum(a, b), atol=1e-12)
    assert (union(a, b, smooth=0.2) <= np.minimum(a, b) + 1e-12).all()


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_picture_shows_its_colour_where_its_fruit_is(concept: tuple[str, str, int]) -> None:
    kind, colour, count = concept
    what = Attributes(kind, colour, count, "gray", None if count == 2 else "large")
    image = render(what, np.random.default_rng(3))
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    # The pixels nearest to the fruit's colour are many, and those nearest to another fruit colour fewer.
    palette = np.array([*COLOURS.values(), BACKGROUNDS["gray"]], dtype=float)
    hue = palette / np.linalg.norm(palette, axis=1, keepdims=True)
    unit = image.reshape(-1, 3) / np.linalg.norm(image.reshape(-1, 3), axis=1, keepdims=True).clip(1)
    counts = np.bincount((unit @ hue.T).argmax(1), minlength=len(palette))
    assert counts[:-1].argmax() == list(COLOURS).index(colour) and counts[:-1].max() > 40


def test_pictures_are_the_same_for_the_same_numbers_and_differ_otherwise() -> None:
    (a, shown), (b, again) = pictures(8, np.random.default_rng(1)), pictures(8, np.random.default_rng(1))
    np.testing.assert_array_equal(a, b)
    assert shown == again and [what.kind for what in shown] == list(KINDS)
    assert len({image.tobytes() for image in a}) == 8
    other, _ = pictures(8, np.random.default_rng(2))
    assert not np.array_equal(a, other)


def test_every_attribute_comes_up() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_attributes(rng) for _ in range(2000)]
    assert {what.concept for what in drawn} == set(range(len(CONCEPTS)))
    assert {what.background for what in drawn} == set(BACKGROUNDS)
    assert 0.25 < np.mean([what.count == 2 for what in drawn]) < 0.35
    assert all((what.size is None) == (what.count == 2) for what in drawn)


# ---------------------------------------------------------------- captions and tokens


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


def test_phrases_read_well() -> None:
    assert phrase("apple", "red", 1) == "a red apple" and phrase("apple", None, 1) == "an apple"
    assert phrase("grape", "green", 2) == "two bunches of green grapes"
    assert phrase("orange", "orange", 1, "small") == "a small orange"
    assert kind_prompt("watermelon") == "a photo of a slice of watermelon"
    assert len({concept_prompt(*concept) for concept in CONCEPTS}) == len(CONCEPTS)


def test_a_tenth_of_the_training_captions_is_empty_and_a_tenth_generic() -> None:
    rng = np.random.default_rng(0)
    texts = [training_caption(draw_attributes(rng), rng) for _ in range(4000)]
    assert 0.08 < np.mean([caption == Caption("") for caption in texts]) < 0.12
    assert 0.08 < np.mean(["fruit" in c.text and c == Caption(c.text) for c in texts]) < 0.12


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


@given(st.lists(st.text("abcdefg", min_size=1, max_size=8), min_size=1, max_size=12))
def test_merges_make_one_token_of_any_word(vocabulary: list[str]) -> None:
    ranks = {pair: rank for rank, pair in enumerate(merges(vocabulary))}
    assert all(pieces(word, ranks) == [f"{word}</w>"] for word in vocabulary)


# ---------------------------------------------------------------- training


def test_batches_use_everything_before_anything_again() -> None:
    drawn = list(batches(10, 4, 7, np.random.default_rng(0)))
    assert [step for step, _ in drawn] == list(range(7)) and all(len(chosen) == 4 for _, chosen in drawn)
    order = np.concatenate([chosen for _, chosen in drawn])
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))


@given(seeds)
def test_the_contrastive_loss_is_clips_where_one_caption_is_true(seed: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (6, 6)))
    target = torch.arange(6)
    clip = (torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)) / 2
    assert contrastive(logits, torch.eye(6, dtype=torch.bool)).item() == pytest.approx(clip.item())


def test_true_captions_do_not_compete() -> None:
    logits, true = torch.zeros(3, 3), torch.eye(3, dtype=torch.bool)
    true[0, 1] = True
    logits[0, 1] = 20.0
    both = contrastive(logits, true)
    logits[0, 0] = -20.0  # the other true caption of picture 0 gets worse: only its own term does
    assert contrastive(logits, true) > both
    assert contrastive(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool)) == 0


def test_every_training_runs_and_repeats(tmp_path: Path) -> None:
    x, shown = some(160)
    stream = Stream(5)
    vae = train_autoencoder(x, stream.at("vae"), quiet, steps=3)
    twin = train_autoencoder(x, stream.at("vae"), quiet, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(vae.parameters(), twin.parameters(), strict=True))
    assert math.isfinite(psnr(vae, x[:16])) and vae.config["scaling_factor"] != 1
    unet, text_encoder, tokenizer = train_diffusion(x, shown, vae, stream.at("diffusion"), quiet, steps=2)
    ids = torch.tensor([tokenizer("a photo of an apple").input_ids])
    text = text_encoder(ids).last_hidden_state
    assert unet(torch.zeros(1, 4, 8, 8), 10, text).sample.shape == (1, 4, 8, 8)
    model = train_clip("held_out_clip", x, shown, tmp_path, stream.at("clip"), quiet, steps=2)
    loaded = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode_image(x[:2]), model.encode_image(x[:2]), atol=5e-3, rtol=0)  # pyright: ignore
    elsewhere = torch.get_rng_state()
    few, more = (train_attributes(attribute_judge, x, shown, stream.at("net"), quiet, steps=n) for n in (1, 2))
    assert any(not torch.equal(a, b) for a, b in zip(few.parameters(), more.parameters(), strict=True))
    assert torch.equal(elsewhere, torch.get_rng_state())


def test_the_schedule_is_stable_diffusions() -> None:
    abar = new_scheduler().alphas_cumprod
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TIMESTEPS) ** 2
    torch.testing.assert_close(abar, (1 - betas).cumprod(0))


def test_the_autoencoder_makes_latents_of_a_twelfth() -> None:
    vae = new_autoencoder().eval()
    with torch.no_grad():
        assert vae.encode(torch.zeros(1, 3, 32, 32)).latent_dist.mean.shape == (1, 4, 8, 8)  # pyright: ignore


# ---------------------------------------------------------------- the artefacts


def test_the_artefacts_are_whole_and_small() -> None:
    card, home = verified_card("fruits"), folder("fruits")
    sizes = {name: (home / name).stat().st_size for name in card["sha256"]}
    digits = sum(p.stat().st_size for p in folder("digits").rglob("*") if p.is_file())
    assert sum(sizes.values()) <= 10e6 and sum(sizes.values()) + digits <= 12e6
    assert all(file_sha256(home / name) == digest for name, digest in card["sha256"].items())
    assert all(not name.endswith((".bin", ".pt", ".pkl")) for name in sizes)


def test_the_card_keeps_its_promises() -> None:
    figures = verified_card("fruits")["figures"]
    assert figures["psnr"] >= 28
    proxy = figures["judges"]["gold"]
    assert proxy["kind"] >= 0.97 and proxy["kind_and_colour"] >= 0.95
    default = next(row for row in figures["guidance"] if row["guidance_scale"] == FruitsSettings().guidance_scale)
    assert min(default["kind_right"]["held_out"], default["kind_right"]["attributes"]) >= 0.95
    assert min(figures["generic"]["kinds"].values()) >= 0.04


def test_what_is_drawn_is_what_is_asked_for(fruits: Fruits) -> None:
    """As the card says, on fresh noise; 256 generic samples put 4% within three standard errors of 0.4%."""
    judge = fruits.judges()["attributes"]

    def kinds(prompt: str, n: int) -> list[str]:
        noise = stream_noise(Stream(7).at(prompt), (n, *fruits.shape))
        with fruits.prompted(prompt), torch.no_grad():
            images = fruits.decode(euler_ancestral(fruits.denoiser(Cost()), fruits.sigmas(), noise))
        return [CONCEPTS[c][0] for c in judge.probabilities(images).argmax(1)]

    right = [drawn == kind for kind in KINDS for drawn in kinds(kind_prompt(kind), 16)]
    assert np.mean(right) >= 0.95
    generic = kinds(fruits.settings.prompt, 256)
    assert set(generic) == set(KINDS) and min(generic.count(kind) for kind in KINDS) > 0.004 * len(generic)


def test_the_autoencoder_copies_fresh_renders(fruits: Fruits) -> None:
    images, _ = pictures(64, np.random.default_rng(99))
    assert psnr(fruits.pipe.vae, to_range(images)) >= 28


def test_the_judges_know_fresh_renders(fruits: Fruits) -> None:
    images, shown = pictures(160, np.random.default_rng(98))
    truth = np.array([what.concept for what in shown])
    for name, judge in fruits.judges().items():
        shares = judge.probabilities(to_range(images))
        assert shares.shape == (160, len(CONCEPTS)), name
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
        assert (shares.argmax(1) == truth).mean() >= 0.95, name


def test_any_diffusers_program_can_load_the_pipeline() -> None:
    pipe = StableDiffusionPipeline.from_pretrained(folder("fruits") / "pipeline", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a photo of a banana", num_inference_steps=3, output_type="np", height=32, width=32).images
    assert picture.shape == (1, 32, 32, 3) and np.isfinite(picture).all()


def test_references_and_floor_are_different_renders(fruits: Fruits) -> None:
    references, (others, labels) = fruits.references(), fruits.other_real_images()
    assert len(references.images) == len(others) == len(labels) and not torch.equal(references.images, others)
    assert references.features(references.images[:5]).shape == (5, references.feature_dim)
