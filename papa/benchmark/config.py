"""Every setting of the project: typed, with its unit and its reason, validated once.

Unknown keys are errors that name the nearest known one. The JSON schema is generated from these
classes (`papa schema`). Nothing here imports torch.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Settings(BaseModel):
    """Base of all settings: frozen, typed, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(unknown("setting", str(key), cls.model_fields))
        return data


def unknown(kind: str, name: str, known: Any) -> str:
    """The sentence for an unknown name: it offers the nearest known one, or all of them."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}."
    return f"unknown {kind} {name!r}; {hint}"


# ---------------------------------------------------------------- methods


class MethodSettings(Settings):
    """What every method has: its label budget."""

    labels: Positive = 80
    """Label budget B of a run, in items. Every shown item costs one, answered or not."""
    per_round: Positive = 8
    """Items shown per round, k."""

    @property
    def rounds(self) -> int:
        return -(-self.labels // self.per_round)

    @property
    def wants_oracle(self) -> bool:
        """Whether this is a control that is handed the user's true liking function."""
        return False


class SurrogateSettings(Settings):
    """The surrogate reward: Conv2d - ReLU - AdaptiveAvgPool2d - MLP, fitted by MSE (FKC document)."""

    channels: Positive = 128
    """Convolution channels."""
    lr: float = Field(default=1e-3, gt=0)
    """Adam's learning rate."""
    batch: Positive = 32
    """Items a step."""
    epochs: Positive = 200
    """Passes over all labels at every round."""


class BestOfNSettings(MethodSettings):
    """Best of n candidates of the base by a surrogate trained on B labels of base samples."""

    n: Positive = 4
    """Candidates per returned sample."""
    surrogate: SurrogateSettings = SurrogateSettings()


class PapaSettings(MethodSettings):
    """PAPA: online fine-tuning on liked and disliked items (arXiv 2607.00486)."""

    preset: Literal["default", "published"] = "default"
    """`published` follows the release: the current round only, one Adam step per image, one eps shared by
    all timesteps, lambda_t with the wrapped first weight, c_pref = 0.1, c_qpde = 0.009, Adam 1e-5, the
    second term at the last timestep of the liked items only. Single settings given beside it win."""
    c_pref: NonNegative = 1.0
    """Weight of the preference term (the timestep weights sum to 1)."""
    c_qpde: NonNegative = 0.75
    """Weight of the term that stays near the anchor (a mean over timesteps). At 1 the optimum is the model
    conditioned on being liked (see `papa.methods.papa.method`); a few dozen steps fall short of it, which a
    somewhat smaller weight makes up for (docs/tuning.md)."""
    weights: Literal["uniform", "lambda"] = "uniform"
    """Timestep weights of the preference term: 1/T, or the paper's lambda_t (normalized)."""
    first_weight: Literal["clipped", "published"] = "clipped"
    """What stands for lambda_1, which diverges in the formula (see `schedule.lambda_weights`)."""
    negatives: Literal["bounded", "published", "none"] = "bounded"
    """Disliked items: ascent that stops at a margin, unbounded ascent, or left out."""
    margin: NonNegative = 1.0
    """Bounded ascent stops where the item's error exceeds (1 + margin) times the base's error."""
    accumulate: bool = True
    """Train on the labels of all rounds (the paper's figure), or of the current one (the release)."""
    anchor: Literal["base", "previous"] = "base"
    """What c_qpde stays near: the pre-trained model, or the previous round's (online variational Bayes)."""
    qpde_on: Literal["all", "liked"] = "all"
    """Items of the second term."""
    qpde_timesteps: Literal["same", "last"] = "same"
    """Timesteps of the second term: those of the first, or the last of the loop alone (the release)."""
    timesteps: Positive | Literal["exact"] = 4
    """Stratified timesteps K per item over the whole range 1..T, or the exact sum over all."""
    shared_noise: bool = False
    """One eps per item for all its timesteps (the release), or one for each."""
    updates: Positive = 8
    """Adam steps per round."""
    items: Positive = 24
    """Items per Adam step, drawn from the labelled ones (with replacement once those run out)."""
    lr: float = Field(default=5e-4, gt=0)
    """Adam's learning rate."""
    frozen_below: Fraction = 0.0
    """EPAPA's k as a share of T: timesteps below it are neither trained nor sampled with the tuned model."""
    chunk: Positive = 256
    """(item, timestep) pairs per forward pass. Gradients accumulate over the passes of an update, so this is
    memory, not mathematics."""
    trainable: Literal["all", "lora"] = "all"
    """What is fine-tuned: every weight, or low-rank adapters of the attention layers (to_q, to_k, to_v, to_out)
    beside frozen weights that all copies of the network share."""
    lora_rank: Positive = 8
    """Rank of the adapters, where `trainable: lora`."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, a third more time."""

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("preset") == "published":
            return PUBLISHED_PAPA | data
        return data


PUBLISHED_PAPA: dict[str, Any] = {
    "c_pref": 0.1,
    "c_qpde": 0.009,
    "weights": "lambda",
    "first_weight": "published",
    "negatives": "published",
    "accumulate": False,
    "qpde_on": "liked",
    "qpde_timesteps": "last",
    "timesteps": "exact",
    "shared_noise": True,
    "updates": 8,  # one step per image of a round of 8
    "items": 1,
    "lr": 1e-5,
}


class EpapaSettings(PapaSettings):
    """EPAPA: PAPA that trains and uses only the noisy part of the chain."""

    frozen_below: Fraction = 0.4
    """Published: k = 400 of T = 1000."""


class FkcSettings(MethodSettings):
    """FKC: reward-tilted sampling with Feynman-Kac correctors; the model's weights stay as they are."""

    particles: Annotated[int, Field(ge=2)] = 32
    """Particles N of one population."""
    beta_min: NonNegative = 0.5
    """Inverse temperature beta_h of the first tilted round."""
    beta_max: NonNegative = 2.0
    """Inverse temperature of the last round and of the final samples."""
    gamma_max: NonNegative = 0.05
    """Weight of the diversity term in the first tilted round (where `diversity` is on)."""
    gamma_min: NonNegative = 0.0
    """Weight of the diversity term in the last round."""
    diversity: bool = False
    """Add gamma L_div to the reward: a stated heuristic outside the theory."""
    history: Annotated[int, Field(ge=0)] = 64
    """Past particles that the diversity term also keeps away from."""
    weights: Literal["exact", "continuous"] = "exact"
    """Form of the log-weights (see `papa.smc.fkc`)."""
    reward_on: Literal["clean", "state"] = "clean"
    """Reward of the clean estimate, or of the noisy state (for rewards that are known everywhere)."""
    gradient: Literal["leaf", "through"] = "leaf"
    """Reward gradient at the clean estimate, or through the denoiser."""
    guidance: Literal["shrunk", "full", "none"] = "shrunk"
    """Scale of the proposal's shift: sigma_d^2 / (sigma_d^2 + sigma^2), 1, or 0."""
    resampling: Literal["systematic", "stratified", "none"] = "systematic"
    """Resampling scheme along the trajectory; the last step always resamples."""
    ess_threshold: Fraction = 0.5
    """Resample where the effective sample size falls below this share of N."""
    init: Literal["noise", "base"] = "noise"
    """Start of the particles: pure noise, or base latents noised to the first level."""
    reward: Literal["surrogate", "true"] = "surrogate"
    """What the particles are tilted by. `true` is a control: it is handed the user's own liking."""
    clamp_weights: float | None = Field(default=None, gt=0)
    """The document clamps log-weights to +-100 (`continuous` form only); off by default."""
    surrogate: SurrogateSettings = SurrogateSettings()

    @property
    def wants_oracle(self) -> bool:
        return self.reward == "true"

    @model_validator(mode="after")
    def _refuse_wrong_forms(self) -> FkcSettings:
        if self.weights == "continuous" and self.reward_on == "clean" and self.gradient == "leaf":
            raise ValueError(
                "weights: continuous needs gradient: through. The leaf gradient omits d x0 / d y, and the "
                "continuous weights are wrong with it. Set gradient: through, or weights: exact."
            )
        if self.clamp_weights is not None and self.weights != "continuous":
            raise ValueError("clamp_weights belongs to weights: continuous; remove it or change the form.")
        return self


# ---------------------------------------------------------------- tasks and users


class TaskSettings(Settings):
    """What every task has."""

    steps: Positive = 25
    """Denoising steps of every sampler of the task."""
    chunk: Positive = 256
    """Items per forward pass when sampling; a recorded setting, for it changes the last bits."""


class TextToImageSettings(TaskSettings):
    """What every text-to-image task has."""

    prompt: str = "a photo of fruit"
    """The prompt of base and aligned samples."""
    guidance_scale: float = Field(default=7.5, ge=1)
    """Classifier-free guidance w; 1 is the conditional model alone, at half the cost."""
    temperature: float | None = Field(default=None, gt=0)
    """Factor on the proxy's similarities before the softmax; None is the model's own logit scale."""
    attention_slicing: bool = False
    """Less memory, more time."""
    vae_slicing: bool = False
    """Decode one image at a time."""
    vae_tiling: bool = False
    """Decode an image in tiles."""


class FruitsSettings(TextToImageSettings):
    """The small Stable Diffusion of rendered fruit."""

    steps: Positive = 10
    """Denoising steps of every sampler of the task."""
    chunk: Positive = 64
    """Items per forward pass; the fastest size on a CPU core."""
    guidance_scale: float = Field(default=2.0, ge=1)
    """Enough for the right kind; higher values cost variety."""


class ClipSettings(Settings):
    """An OpenCLIP model."""

    model: str
    """open_clip's name of the architecture, or `local-dir:FOLDER` with open_clip_config.json and weights.
    OpenAI's weights from a file want the name that ends in -quickgelu."""
    pretrained: str | None = None
    """open_clip's tag of the weights, or a weight file. A folder brings its own."""
    revision: Commit | None = None
    """Commit of the hub's repository that the tag names; None takes what is cached, else the newest (a file or a
    folder has none and ignores it)."""
    sha256: Sha256 | None = None
    """The sha256 that the weight file must have; checked before loading, part of every run's key."""


FRUIT_BANK = {
    "apple": ["a photo of an apple", "a photo of a red apple", "a photo of a green apple"],
    "grape": ["a photo of grapes", "a photo of a bunch of grapes"],
    "banana": ["a photo of a banana", "a photo of a bunch of bananas"],
    "orange": ["a photo of an orange"],
    "lemon": ["a photo of a lemon"],
    "pear": ["a photo of a pear"],
    "strawberry": ["a photo of a strawberry"],
    "watermelon": ["a photo of a watermelon"],
    "pineapple": ["a photo of a pineapple"],
    "peach": ["a photo of a peach"],
    "kiwi": ["a photo of a kiwi fruit"],
    "cherry": ["a photo of cherries"],
}
"""Three users' concepts and what else a photo of a fruit may show."""


class Sd15Settings(TextToImageSettings):
    """Stable Diffusion 1.5, judged by OpenCLIP (the FKC document)."""

    model: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """A repository on the Hugging Face hub, or a folder in its layout."""
    revision: Commit = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
    """Commit of the repository (a folder has none and ignores it)."""
    variant: str | None = "fp16"
    """Weight files that are preferred, `*.fp16.safetensors`; where there are none, those without a variant."""
    sha256: dict[str, str] = {}
    """File of the model's folder -> the sha256 that it must have; checked before loading, part of every run's key."""
    dtype: Literal["auto", "fp16", "fp32"] = "auto"
    """Type that the pipeline runs in: fp16 on CUDA and fp32 on a CPU, or as said. Trained weights, losses and
    log-weights are always fp32."""
    proxy: ClipSettings = ClipSettings(model="ViT-L-14", pretrained="openai")
    """The OpenCLIP model that labels."""
    held_out: ClipSettings = ClipSettings(model="ViT-B-32", pretrained="laion2b_s34b_b79k")
    """An OpenCLIP model of another training, which no method ever queries."""
    bank: dict[str, list[str]] = FRUIT_BANK
    """Concept -> its prompts: what users like, and distractors. The proxy's softmax runs over all of them."""
    prompt: str = "a photo of a fruit"
    """The prompt of base and aligned samples."""
    temperature: float | None = Field(default=10.0, gt=0)
    """The document's factor on the proxy's similarities; CLIP's own logit scale (null) is about 100."""
    chunk: Positive = 8
    """Images per forward pass, the document's generation batch (guidance doubles it)."""
    attention_slicing: bool = True
    """Less memory, more time."""
    vae_slicing: bool = True
    """Decode one image at a time."""
    vae_tiling: bool = True
    """Decode an image in tiles (those above 512 pixels have more than one)."""


class Gmm2dSettings(TaskSettings):
    """The 2-D Gaussian mixture with its exact score."""

    steps: Positive = 100
    sigma_max: float = Field(default=20.0, gt=0)
    """Largest noise level."""
    sigma_min: float = Field(default=0.01, gt=0)
    """Smallest noise level before 0."""


class UserSettings(Settings):
    """A user of the task, with optional noise on the answers."""

    user: str | None = None
    """The task's user that is wrapped; the label itself if not given."""
    flip: Fraction = 0.0
    """Probability that a binary answer is flipped (a graded answer s becomes 1 - s)."""
    missing: Fraction = 0.0
    """Probability that an item stays unanswered; it still costs a label."""


# ---------------------------------------------------------------- the experiment


class Block(Settings):
    """A part of the grid: every method for every user and seed on one task."""

    task: str
    methods: list[str]
    """Labels from `methods`."""
    users: list[str]
    """Users of the task, or labels from `users`."""
    seeds: list[Annotated[int, Field(ge=0)]]


class Measures(Settings):
    """How many samples are drawn and measured."""

    final: Positive = 1024
    """Samples of the aligned result, for FID, KID and the final measures."""
    per_round: Positive = 64
    """Samples after every round, for the curves."""
    base: Positive = 4096
    """Base samples per seed: the base row, best-of-n's candidates, predictions."""
    diversity: Positive = 256
    """Samples for the diversity measures (they depend on the count; the same for all methods)."""
    retention: Positive = 64
    """Samples of the aligned model for another prompt (text-to-image tasks): does it still draw what it is asked
    for?"""
    kid_subset: Positive = 100
    """Subset size of KID."""
    kid_subsets: Positive = 100
    """Number of KID subsets."""


class Config(Settings):
    """The whole experiment, as in config.yaml."""

    results: str = "results"
    """Folder of runs, long table and tables."""
    figures: str = "figures"
    """Folder of figures."""
    root_seed: int = 2026
    """Root of all random streams."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """auto, cpu, cuda or cuda:0. `auto` takes CUDA where there is one."""
    seeds_per_job: Positive = 3
    """Seeds that one process runs (starting a process costs several seconds)."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of all intervals."""
    measures: Measures = Measures()
    measures_by_task: dict[str, dict[str, Any]] = {}
    """Measures of a task that differ from those above (samples of a larger model cost more)."""
    tasks: dict[str, dict[str, Any]] = {}
    """Settings of tasks that differ from their defaults."""
    methods: dict[str, dict[str, Any]]
    """Label -> algorithm (the label itself if not given) and settings that differ from its defaults."""
    users: dict[str, UserSettings] = {}
    """Label -> user with noise on the answers."""
    grid: dict[str, Block]
    """The runs."""
