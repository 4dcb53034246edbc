"""The configuration of a character-level language model: one field for each flag.

A field's type bounds its value, the string below it is its help, and `option` states
every other rule. The traits of an option are:

identity: The field is part of what makes a run the run that it is. Fields without this
  trait say how long to train, by which way and how to watch.
kept: The run's directory remembers the value for the next command.
alike: All processes of a distributed run are given the same value.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeAlias

from charlm.operating import Operating
from common.programs import Keeping
from common.rules import Needs, option
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
from jaxtext.text.modes import ROWS, Mode
from jaxtext.types import BackendName
from jaxtext.versions import lacking

TwoOrMore: TypeAlias = Annotated[int, at_least(2)]
Preset: TypeAlias = Literal[
    "modern",
    "cpu-3min",
    "small",
    "names",
    "shakespeare",
    "ptb-char",
    "enwik8",
    "text8",
    "tutorial",
]

Cell: TypeAlias = Literal[
    "rnn", "lstm", "gru", "min_gru", "min_lstm", "para_gru", "para_lstm"
]

# Presets that are for a text which larger models learn by heart.
FOR_LITTLE_TEXT = ("small", "names")
TEXTS = ("corpus", "val_corpus")
BUDGETS = ("steps", "epochs", "minutes")
# What a run that starts from another one has in common with it.
ARCHITECTURE = (
    *("vocab", "cell", "hidden", "layers", "residual", "layer_norm"),
    *("embedding", "tied", "frequent"),
)
# What it takes over unless the flag is typed. These also change what a model predicts.
INHERITED = (*ARCHITECTURE, "dtype", "zoneout", "zoneout_hidden")
# Cells whose state has a memory c beside the hidden state h.
WITH_MEMORY = ("lstm", "para_lstm")
# Cells with a matrix of recurrent weights, and how to do without what only these have.
DENSE = ("rnn", "lstm", "gru")
DENSE_OFF = {"layer_norm": "--no-layer-norm", "weight_drop": "--weight-drop 0"}
# How a text is read. Its hash tells a run what it read, so none is in its identity.
READING = ("newlines", "any_bytes", "exclude")
# What a run did, by its vocabulary, that is older than these flags.
BEFORE = {"chars": {"newlines": "keep"}, "bytes": {"any_bytes": True}}
# How a text is evaluated: the characters in a window, or None to read it in one piece.
WINDOWS = {"carried": None, "cold-256": 256}

_ADAMW = Needs(
    lambda config: config.optimizer == "adamw",
    "--optimizer adamw, for rmsprop has none",
)
_LAYERS = Needs(
    lambda config: config.layers > 1, "--layers 2 or more, for it is between layers"
)
_DROPOUT = Needs(
    lambda config: config.dropout or (config.layers > 1 and config.dropout_between),
    "--dropout above 0, whose masks it is about",
)
_VALIDATION = Needs(
    lambda config: config.val_fraction or config.val_corpus,
    "--val-fraction above 0, or --val-corpus",
)
_NO_VAL_CORPUS = Needs(
    lambda config: not config.val_corpus, "no --val-corpus, read in its place"
)
_CHARS = Needs(
    lambda config: config.vocab == "chars", "--vocab chars, for no byte is changed"
)
_BYTES = Needs(lambda config: config.vocab == "bytes", "--vocab bytes with it")
_DISTRIBUTED = Needs(lambda config: config.distributed, "--distributed with it")


_DOCUMENTS = Needs(
    lambda config: config.documents != "none", "--documents other than none"
)


def _document(config):
    if config.documents in (None, "none"):
        return None
    if config.vocab == "bytes":
        return (
            f"expected --vocab chars with {config.documents}, got bytes, of which none "
            "is left for the end of a document; leave one of them out"
        )
    if config.stride is not None:
        return (
            f"expected streams, in which documents follow one another, got windows "
            f"(--stride) with {config.documents}; leave one of them out"
        )
    if config.documents == "csv" and config.field is None:
        return "expected --field NAME, the column, with csv; give it"
    return None


def _field(config):
    if config.field is not None and config.documents not in ROWS:
        return (
            f"expected --documents jsonl or csv, got "
            f"{config.documents or 'none of them'}; give that, or leave --field out"
        )
    return None


def _val_split(config):
    if config.val_split == "documents" and config.documents == "none":
        return "expected --documents other than none, got none; leave one of them out"
    return None


def _one_length(config):
    if config.stride is not None and not isinstance(config.seq_len, int):
        return f"expected one number with --stride, got {config.seq_len}"
    return None


def _tied_width(config):
    if config.tied and config.embedding not in (None, config.hidden):
        return (
            f"expected an embedding as wide as a layer, {config.hidden}, got "
            f"{config.embedding}; leave --embedding out"
        )
    return None


def _streams(config):
    if config.stride is not None and config.reset_probability:
        return (
            "expected streams that carry on, but windows (--stride) all begin from the "
            "zero state; leave one of them out"
        )
    return None


def _divides_batch(config):
    if config.batch_size % config.slices:
        return (
            f"expected a divisor of the batch size {config.batch_size}, got "
            f"{config.slices}"
        )
    return None


def _embedding(config):
    if config.dropout_input and not (config.embedding or config.tied):
        return "expected an embedding to drop from; add --tied or --embedding WIDTH"
    return None


def _memory(name, config):
    if getattr(config, name) and config.cell not in WITH_MEMORY:
        return (
            f"expected --cell {' or '.join(WITH_MEMORY)}, which has a memory beside "
            f"its hidden state, got {config.cell}; --zoneout goes with every cell"
        )
    return None


def _dense(name, config):
    if getattr(config, name) and config.cell not in DENSE:
        return (
            f"expected --cell {', '.join(DENSE[:-1])} or {DENSE[-1]}, got "
            f"{config.cell}, which has no {name.replace('_', ' ')}; add "
            f"{DENSE_OFF[name]}"
        )
    return None


def _installed(extra, config):
    return lacking(extra) if getattr(config, extra) else None


@dataclass(frozen=True)
class Common:
    """common flags"""

    preset: Preset = "modern"
    """Where the defaults come from (experiments/presets/). cpu-3min: three minutes on
    two cores; small: a text of less than a megabyte; names: short documents, one a
    line; shakespeare: a million characters, 18 passes; ptb-char, enwik8, text8: your
    copies; tutorial: as in Keras. Another preset keeps only a run's texts."""
    corpus: tuple[str, ...] = option(("stdlib",), alike=False)
    """Text to learn: files, directories, globs, URLs (gs://, s3://, https://), '-' for
    standard input, stdlib (this Python's own standard library) or tinyshakespeare.
    docs/guides/own_text.md says how each kind is read."""
    cell: Cell = "lstm"
    """The recurrent cell. --backend parallel takes all steps of a min_ cell at once,
    which has no recurrent weights; newton those of a para_ cell, whose are diagonal."""
    hidden: Count = 256
    """Width of each recurrent layer."""
    layers: Count = 1
    """Number of recurrent layers."""
    batch_size: Count = 16
    """Streams of text read side by side, a multiple of the number of devices."""
    seq_len: Count | tuple[Count, ...] = option(32, check=_one_length)
    """Characters of each stream in a batch: how far back gradients reach. With several
    numbers, each batch has one of them (Merity et al. 2018)."""
    learning_rate: Positive = 4e-3
    """Peak learning rate."""
    minutes: Positive | None = option(None, identity=False)
    """Train for so many minutes, with compilation and validation; the measured speed
    gives the schedule."""
    steps: Count | None = option(None, identity=False)
    """Train for this many batches. Default: 5000, if no other budget is given. With
    several budgets, the one that is used up first ends the run."""
    epochs: Positive | None = option(None, identity=False)
    """Train for this many passes over the corpus."""
    seed: Seed = 0
    """Seed of parameters, batches, dropout and samples."""
    workdir: Directory | None = option(None, identity=False, kept=False)
    """Directory of the run, which remembers its flags; gs://BUCKET/NAME and
    s3://BUCKET/NAME are in a bucket. Default: runs/CORPUS-CELL-HASH of the
    configuration."""


@dataclass(frozen=True)
class Text:
    """text"""

    vocab: Literal["chars", "bytes"] = "chars"
    """Symbols. chars: the distinct characters of a text in UTF-8, or in UTF-16 with a
    byte order mark. bytes: the bytes of any file that is not packed."""
    documents: Mode | None = option(None, identity=False, check=_document)
    """What a document is: one of the files, lines, or paragraphs (blank lines are
    between them), or one field in each row of JSON lines or CSV. The model learns where
    it ends, and begins each anew. none: the text is one. Default: files for a
    directory or several files, else none. docs/guides/documents.md has more."""
    field: str | None = option(None, identity=False, check=_field)
    """The field or column that is the document, with jsonl and csv."""
    document_order: Literal["shuffled", "as-is"] = option(
        "shuffled", identity=False, needs=_DOCUMENTS
    )
    """The order in which documents are read: another one in each epoch, or as they
    are."""
    newlines: Literal["lf", "keep"] = option("lf", identity=False, needs=_CHARS)
    """Line ends. lf: CRLF and CR become LF, as in Python; keep: they stay."""
    any_bytes: bool = option(False, identity=False, needs=_BYTES)
    """Also learn the bytes of images, archives and other files that are packed."""
    exclude: tuple[str, ...] = option((), identity=False)
    """Leave out of directories, prefixes and globs what matches one of these patterns,
    such as '*.html' or 'drafts/*'."""
    characters: Count | None = None
    """Use only this many characters from the beginning of the corpus."""
    val_fraction: Rate = option(0.1, needs=_NO_VAL_CORPUS)
    """Share of the corpus that is kept for validation."""
    val_split: Literal["end", "documents"] | None = option(
        None, identity=False, needs=_NO_VAL_CORPUS, check=_val_split
    )
    """Which part is kept. end: the end of the corpus. documents: each document is drawn
    by a hash of the seed and its text, whatever the order; equal ones stay together.
    Default: documents for lines, paragraphs, jsonl and csv, else end."""
    val_corpus: tuple[str, ...] = option((), alike=False)
    """Validate on this text instead, and train on the whole corpus."""


@dataclass(frozen=True)
class Model:
    """model"""

    residual: bool = option(False, needs=_LAYERS)
    """Add the input of each layer but the first to its output."""
    layer_norm: bool = option(False, check=partial(_dense, "layer_norm"))
    """Normalise within each step (Ba et al. 2016)."""
    embedding: Count | None = None
    """Give each symbol a vector of this width. Default: the cell reads one-hot rows."""
    tied: bool = option(False, check=_tied_width)
    """Predict by products with the embedding, which is then as wide as a layer."""
    frequent: Count | None = None
    """Adaptive softmax (Grave et al. 2017): predict one of this many most frequent
    symbols, or that another follows, and then which. For thousands of symbols."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type to compute in. Parameters are float32 in either case."""
    backend: BackendName = option("auto", identity=False)
    """How the cells run over a sequence. All compute the same function. scan: step by
    step; fused: with a hand-derived backward pass; mosaic: kernels for TPU; mosaic_gpu:
    kernels for GPU; cudnn: NVIDIA's; parallel, newton: all steps at once, for min_ and
    para_ cells; auto: the fastest measured on the device."""
    remat: Literal["gates"] | Count | None = option(None, identity=False)
    """What the backward pass computes again instead of reading it from memory. gates:
    everything within a step; a number N: everything but the state at every N steps."""


@dataclass(frozen=True)
class Training:
    """training"""

    init_from: Directory | None = option(None, identity=False, kept=False, alike=False)
    """Fine-tune: start from the best parameters of the run in this directory. The
    architecture is that run's, and symbols that only the new text has are added.
    Optimizer, schedule and steps start anew."""
    optimizer: Literal["adamw", "rmsprop"] = "adamw"
    """adamw: with a schedule, weight decay and clipped gradients; its moments last 10
    and 100 steps (0.9, 0.99). rmsprop: as in Keras."""
    schedule: Literal["cosine", "linear", "constant"] = option("cosine", needs=_ADAMW)
    """AdamW's learning rate after the warm-up: cosine and linear fall to zero at the
    end of the run, constant stays."""
    warmup_steps: Whole = option(100, needs=_ADAMW)
    """Steps in which AdamW's learning rate rises, at most a tenth of all steps."""
    weight_decay: NotNegative = option(0.1, needs=_ADAMW)
    """AdamW's weight decay, on matrices alone."""
    clip: Positive = option(1.0, needs=_ADAMW)
    """Largest norm of AdamW's gradient; a larger gradient is scaled down to it."""
    reset_probability: Rate = option(0.0, check=_streams)
    """How often a stream begins a batch from the zero state instead of going on, so
    that the model learns to begin (Melis et al. 2018)."""
    stride: Count | None = None
    """Read windows that start this many characters apart, in random order. Each begins
    from the zero state and predicts one character. Default: streams that carry on."""
    slices: Count = option(1, check=_divides_batch)
    """Read each batch in this many slices, one after the other: takes less memory."""
    data_parallel: Literal["pmap", "sharded"] = option("pmap", identity=False)
    """How the step is spread over devices: jax.pmap, or jax.shard_map over sharded
    arrays. Both compute the same function."""
    eval_every: Count | None = None
    """Validate every so many steps. Default: 8 times in the run, or fewer if that would
    take more than a tenth of the minutes."""
    eval_characters: TwoOrMore = option(20_000, needs=_VALIDATION)
    """Characters that a validation within the run reads. The last one reads all."""
    eval_protocol: Literal["carried", "cold-256"] = option("carried", needs=_VALIDATION)
    """How validation reads the text, and so how the best checkpoint is chosen. carried:
    from beginning to end; cold-256: windows of 256, each from the zero state."""
    patience: Count | None = option(None, identity=False, needs=_VALIDATION)
    """Stop after this many validations in a row that are not better than the best."""
    max_skips: Count = option(10, identity=False)
    """Steps whose loss or gradient is not finite are skipped. After this many in a row,
    go back to the last good checkpoint and continue at half the learning rate."""
    max_rollbacks: Whole = option(3, identity=False)
    """Go back at most this many times, then stop."""


@dataclass(frozen=True)
class Regularisation:
    """regularisation"""

    dropout: Rate = 0.2
    """Dropout rate on the output of the last layer (Zaremba et al. 2014)."""
    dropout_between: Rate | None = option(None, needs=_LAYERS)
    """Dropout rate between layers. Default: the same."""
    dropout_input: Rate = option(0.0, check=_embedding)
    """Dropout rate on the embedding, one mask a sequence (Gal and Ghahramani 2016)."""
    dropout_hidden: Rate = option(0.0, check=partial(_memory, "dropout_hidden"))
    """Dropout rate on the LSTM's hidden state as it enters each step, one mask a
    sequence. Runs step by step."""
    variational: bool = option(False, needs=_DROPOUT)
    """Use one mask a sequence also on outputs and between layers, not one a step."""
    weight_drop: Rate = option(0.0, check=partial(_dense, "weight_drop"))
    """Rate at which recurrent weights are dropped, one mask a batch (Merity 2018)."""
    zoneout: Rate = 0.0
    """Rate at which each unit of the memory, an LSTM's c or another cell's h, keeps its
    previous value (Krueger et al. 2017). Runs step by step."""
    zoneout_hidden: Rate = option(0.0, check=partial(_memory, "zoneout_hidden"))
    """The same for an LSTM's h."""
    label_smoothing: Rate = 0.0
    """Share of the target that is spread evenly over all symbols (Szegedy et al. 2016).
    The reported losses are without it."""
    average_decay: Rate = 0.0
    """Predict with an exponential moving average of the weights, of which each step
    keeps this share. 0: predict with the weights themselves."""


@dataclass(frozen=True)
class Saving:
    """saving"""

    save_minutes: Positive = option(1.0, identity=False)
    """Save a checkpoint every so many minutes (and at the end, and on Ctrl-C)."""
    save_steps: Count | None = option(None, identity=False)
    """Save a checkpoint also every so many steps."""
    keep: TwoOrMore = option(2, identity=False)
    """How many of the latest checkpoints to keep, in case one is damaged. The best one
    is kept in addition."""


@dataclass(frozen=True)
class Writing:
    """writing: samples and metrics"""

    sample_every: Whole | None = option(None, identity=False)
    """Print a sample every so many steps; 0 is never. Default: with each validation."""
    log_every: Count | None = option(None, identity=False)
    """Write metrics every so many steps, means over these steps. Default: 10 up to step
    100,000, then twice as many each time the steps have doubled."""
    tensorboard: bool = option(
        False, identity=False, check=partial(_installed, "tensorboard")
    )
    """Also write metrics for TensorBoard (needs the extra jaxtext[tensorboard])."""
    wandb: bool = option(False, identity=False, check=partial(_installed, "wandb"))
    """Also send metrics to Weights & Biases (needs the extra jaxtext[wandb]). It keeps
    what it got first, also of steps that are taken again."""


@dataclass(frozen=True)
class Hosts:
    """several hosts"""

    distributed: bool = option(False, identity=False, kept=False)
    """This is one of several processes, on one or more hosts, that train together; see
    docs/distributed.md. TPU slices, Slurm and Kubernetes tell each process which one it
    is; elsewhere give --coordinator, --num-processes and --process-id."""
    coordinator: str | None = option(
        None, identity=False, kept=False, alike=False, needs=_DISTRIBUTED
    )
    """HOST:PORT of process 0, which all others can reach."""
    num_processes: Count | None = option(
        None, identity=False, kept=False, needs=_DISTRIBUTED
    )
    """How many processes there are."""
    process_id: Whole | None = option(
        None, identity=False, kept=False, alike=False, needs=_DISTRIBUTED
    )
    """Which one this is, from 0."""
    heartbeat_seconds: Count = option(
        60, identity=False, kept=False, needs=_DISTRIBUTED
    )
    """A process that is silent for this long is lost, and the others end. (One that is
    killed is noticed at once.)"""
    meet_seconds: Count = option(300, identity=False, kept=False, needs=_DISTRIBUTED)
    """How long to wait until all processes have come. Then this one ends, with 75."""


@dataclass(frozen=True)
class Config(  # dataclasses have the fields of the last one first
    Hosts,
    Keeping,
    Operating,
    Writing,
    Saving,
    Regularisation,
    Training,
    Model,
    Text,
    Common,
):
    """A recurrent network, the text that it is trained on, and how."""

    @property
    def seq_lens(self) -> tuple[int, ...]:
        """The lengths that a batch may have."""
        return (self.seq_len,) if isinstance(self.seq_len, int) else self.seq_len
