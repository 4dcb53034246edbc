"""The flags of ``char_gen.py``, in the groups that ``--help`` tells them in."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from common.values import (
    Count,
    Directory,
    NotNegative,
    Positive,
    Rate,
    Seed,
    Whole,
    at_least,
)

TwoOrMore: TypeAlias = Annotated[int, at_least(2)]
Preset: TypeAlias = Literal[
    "modern", "cpu-3min", "shakespeare", "ptb-char", "enwik8", "text8", "tutorial"
]


@dataclass(frozen=True)
class Common:
    """common flags"""

    preset: Preset = "modern"
    """Where the defaults come from (experiments/presets/). cpu-3min: three minutes on
    two cores; shakespeare: a million characters, 18 times; ptb-char, enwik8, text8:
    your copies; tutorial: as in Keras. Another one keeps a run's texts only."""
    corpus: tuple[str, ...] = ("stdlib",)
    """Text to learn: files, directories, globs, '-' for standard input, stdlib (this
    Python's own standard library) or tinyshakespeare. docs/guides/own_text.md has a
    table of the kinds of files."""
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """The recurrent cell."""
    hidden: Count = 256
    """Width of each recurrent layer."""
    layers: Count = 1
    """Number of recurrent layers."""
    batch_size: Count = 16
    """Streams of text read side by side, a multiple of the number of devices."""
    seq_len: Count | tuple[Count, ...] = 32
    """Characters of each stream in a batch: how far back gradients reach. Of several
    numbers each batch has one (Merity et al. 2018)."""
    learning_rate: Positive = 4e-3
    """Peak learning rate."""
    minutes: Positive | None = None
    """Train for so many minutes, compilation and validation included. The schedule is
    planned by the speed that is measured."""
    steps: Count | None = None
    """Train for so many batches. Default: 5000, if no other budget is given. Of
    several, the first one that is used up ends the run."""
    epochs: Positive | None = None
    """Train for so many passes over the corpus."""
    seed: Seed = 0
    """Seed of parameters, batches, dropout and samples."""
    workdir: Directory | None = None
    """Where the run lives; it remembers its flags. Default: runs/CORPUS-CELL-HASH of
    the configuration."""


@dataclass(frozen=True)
class Text:
    """text"""

    vocab: Literal["chars", "bytes"] = "chars"
    """Symbols: the distinct characters of a text in UTF-8, or in UTF-16 with a byte
    order mark; or bytes, which any file but an archive is taken as."""
    characters: Count | None = None
    """Use only so many characters from the beginning of the corpus."""
    val_fraction: Rate = 0.1
    """Share of the corpus, at its end, that is kept for validation."""
    val_corpus: tuple[str, ...] = ()
    """Validate on this text instead, and train on the whole of the corpus."""


@dataclass(frozen=True)
class Model:
    """model"""

    residual: bool = False
    """Add the input of each layer but the first to its output."""
    layer_norm: bool = False
    """Normalise within each step (Ba et al. 2016)."""
    embedding: Count | None = None
    """Give each symbol a vector of this width. Default: the cell reads one-hot rows."""
    tied: bool = False
    """Predict by products with the embedding, which is then as wide as a layer."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type to compute in; parameters are float32 either way."""
    backend: Literal["auto", "scan", "fused", "mosaic", "mosaic_gpu", "cudnn"] = "auto"
    """How the cells go over a sequence: scan, step by step; fused, with a hand-derived
    backward pass; mosaic, by kernels for TPU; mosaic_gpu, by kernels for GPU; cudnn, by
    NVIDIA's own; auto, by the evidence for the device. The function is the same."""
    remat: Literal["gates"] | Count | None = None
    """What the backward pass computes again rather than finds in memory. gates: what
    lies within a step; a number: all but the state at every so many steps."""


@dataclass(frozen=True)
class Training:
    """training"""

    optimizer: Literal["adamw", "rmsprop"] = "adamw"
    """adamw: a schedule, weight decay, clipped gradients; its moments last 10 and 100
    steps (0.9, 0.99). rmsprop: as Keras."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What AdamW's learning rate does after its rise: fall to zero in half a cosine by
    the end of the run, or stay."""
    warmup_steps: Whole = 100
    """Steps in which AdamW's learning rate rises, a tenth of all at most."""
    weight_decay: NotNegative = 0.1
    """AdamW's weight decay, on matrices alone."""
    clip: Positive = 1.0
    """Norm that AdamW's gradient is cut down to."""
    reset_probability: Rate = 0.0
    """How often a stream begins a batch from the zero state instead of going on, so
    that the model learns to begin (Melis et al. 2018)."""
    stride: Count | None = None
    """Read windows that start every so many characters, each in random order, from the
    zero state and predicting one character, instead of streams that carry on."""
    slices: Count = 1
    """Read each batch in so many slices, one after the other: less memory."""
    data_parallel: Literal["pmap", "sharded"] = "pmap"
    """How the step is spread over devices: jax.pmap, or jax.shard_map over arrays that
    are sharded. The function is the same."""
    eval_every: Count | None = None
    """Validate after each so many steps. Default: 8 times in the run, less often if it
    would take more than a tenth of the minutes."""
    eval_characters: TwoOrMore = 20_000
    """Characters that a validation within the run reads; the last one reads all."""
    eval_protocol: Literal["carried", "cold-256"] = "carried"
    """How it reads them, and what the best checkpoint is chosen by. carried: from one
    end to the other; cold-256: windows of 256, each from the zero state."""
    max_skips: Count = 10
    """Steps whose loss or gradient is not finite are skipped. After so many in a row,
    go back to the last good checkpoint and on from there at half the learning rate."""
    max_rollbacks: Whole = 3
    """Go back at most so many times, then stop."""


@dataclass(frozen=True)
class Regularisation:
    """regularisation"""

    dropout: Rate = 0.2
    """Dropout rate on the output of the last layer (Zaremba et al. 2014)."""
    dropout_between: Rate | None = None
    """Dropout rate between layers. Default: the same."""
    dropout_input: Rate = 0.0
    """Dropout rate on the embedding, one mask a sequence (Gal and Ghahramani 2016)."""
    dropout_hidden: Rate = 0.0
    """Dropout rate on the LSTM's hidden state on its way into each step, one mask a
    sequence. Goes step by step."""
    variational: bool = False
    """One mask a sequence also on outputs and between layers, not one a step."""
    weight_drop: Rate = 0.0
    """Rate at which recurrent weights are dropped, one mask a batch (Merity 2018)."""
    zoneout: Rate = 0.0
    """Rate at which the memory, an LSTM's c or another cell's h, stays as it was, unit
    by unit (Krueger et al. 2017). Goes step by step."""
    zoneout_hidden: Rate = 0.0
    """The same of an LSTM's h."""
    label_smoothing: Rate = 0.0
    """Share of the target that all symbols have equally (Szegedy et al. 2016). The
    losses that are told are without it."""
    average_decay: Rate = 0.0
    """Predict with an exponential moving average of the weights, of which each step
    keeps this much. 0: with the weights themselves."""


@dataclass(frozen=True)
class Saving:
    """saving"""

    save_minutes: Positive = 1.0
    """Save a checkpoint each so many minutes (and at the end, and on Ctrl-C)."""
    save_steps: Count | None = None
    """Save a checkpoint also each so many steps."""
    keep: TwoOrMore = 2
    """How many of the latest checkpoints to keep, since one may turn out damaged; the
    best one is kept beside them."""


@dataclass(frozen=True)
class Writing:
    """writing: samples, and metrics elsewhere"""

    sample_every: Whole | None = None
    """Print a sample after each so many steps; 0 is never. Default: when validating."""
    tensorboard: bool = False
    """Also write metrics for TensorBoard (needs the extra jaxtext[tensorboard])."""
    wandb: bool = False
    """Also send metrics to Weights & Biases (needs the extra jaxtext[wandb]). What was
    sent there stays: of steps that are taken again, it keeps what it got first."""


@dataclass(frozen=True)
class Hosts:
    """several hosts"""

    distributed: bool = False
    """This is one process of several, on one or more hosts, which train together; see
    docs/distributed.md. TPU slices, Slurm and Kubernetes tell who is who; elsewhere
    --coordinator, --num-processes and --process-id do."""
    coordinator: str | None = None
    """HOST:PORT of process 0, which all others reach."""
    num_processes: Count | None = None
    """How many processes there are."""
    process_id: Whole | None = None
    """Which one this is, from 0."""
    heartbeat_seconds: Count = 60
    """A process that is not heard of for so long is lost, and ends the others."""
