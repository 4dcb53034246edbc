"""Builds model and optimizer of a configuration, and restores the model of a run."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax

import jaxtext as jt
from charlm.config import WITH_MEMORY, Cell, Config
from jaxtext.runs import checkpoint
from jaxtext.text import Vocabulary
from jaxtext.training import DataParallel, TrainState
from jaxtext.types import BackendName, Device

CELLS = {name: getattr(jt, name) for name in get_args(Cell)}
LAYER_NORM_CELLS = {
    "rnn": jt.layer_norm_rnn,
    "lstm": jt.layer_norm_lstm,
    "gru": jt.layer_norm_gru,
}
# The share of the peak rate that is left, by the share of the run since the warm-up.
SCHEDULES = {
    "cosine": lambda progress: 0.5 * (1 + jnp.cos(jnp.pi * progress)),
    "linear": lambda progress: 1 - progress,
    "constant": jnp.ones_like,
}


class Trainer(NamedTuple):
    """What a configuration trains with.

    Attributes:
      model: The model.
      parallel: The training step over devices.
      create: ``(key, params) -> state`` to begin from, not placed on the devices yet.
        Without parameters, or with ``None``, it has new ones.
    """

    model: jt.LanguageModel
    parallel: DataParallel
    create: Callable[..., TrainState]


def build_trainer(
    config: Config,
    vocab_size: int,
    batch_size: int,
    devices: Sequence[Device] | None = None,
    *,
    frequent: tuple[int, ...] = (),
    end: int | None = None,
) -> Trainer:
    """Builds what a configuration trains with.

    Args:
      config: The configuration.
      vocab_size: How many symbols there are.
      batch_size: Rows of a batch, which for a short text are fewer than configured.
      devices: Default: all that there are.
      frequent: As for `build_model`.
      end: As for `build_model`.

    Raises:
      InputError: If the batch does not divide between the devices.
    """
    model = build_model(
        dataclasses.asdict(config),
        vocab_size,
        backend=config.backend,
        remat=config.remat,
        frequent=frequent,
        end=end,
    )
    optimizer = build_optimizer(config)
    parallel = jt.training.data_parallel(
        model,
        optimizer,
        batch_size,
        devices,
        slices=config.slices,
        average_decay=config.average_decay,
        label_smoothing=config.label_smoothing,
        strategy=config.data_parallel,
    )

    @jax.jit  # one program to compile, instead of sixty small ones
    def create(key, params=None):
        average = config.average_decay > 0
        return jt.training.create_state(
            model, optimizer, key, batch_size, params=params, average=average
        )

    return Trainer(model, parallel, create)


def build_model(
    identity: dict[str, Any],
    vocab_size: int,
    *,
    backend: BackendName = "auto",
    remat: int | Literal["gates"] | None = None,
    frequent: tuple[int, ...] = (),
    end: int | None = None,
) -> jt.LanguageModel:
    """Builds the model of a configuration: layers of the cell, noise around each.

    Args:
      identity: The configuration.
      vocab_size: How many symbols there are.
      backend: How to run the cells.
      remat: What to recompute in the backward pass.
      frequent: The ids of the symbols that ``--frequent`` counts, which depend on the
        text.
      end: The id of the symbol that ends documents, if the vocabulary has one.
    """
    # A run that is older than an option does not have it.
    of = dataclasses.asdict(Config()) | identity
    dtype = jnp.dtype(of["dtype"])
    drop = jt.variational_dropout if of["variational"] else jt.dropout
    between = of["dropout"] if of["dropout_between"] is None else of["dropout_between"]
    rates = [between] * (of["layers"] - 1) + [of["dropout"]]
    cells = []
    if of["dropout_input"]:
        cells.append(jt.variational_dropout(of["dropout_input"]))
    for layer, rate in enumerate(rates):
        cell = _cell(of, dtype)
        cells.append(jt.residual(cell) if of["residual"] and layer else cell)
        if rate:
            cells.append(drop(rate))
    return jt.LanguageModel(
        jt.stack(*cells),
        vocab_size,
        dtype,
        backend,
        remat,
        of["embedding"],
        of["tied"],
        of["weight_drop"],
        frequent,
        end,
    )


def restore(
    workdir: Path,
    about: dict[str, Any],
    *,
    which: checkpoint.Which = "best",
    warn: Callable[[str], None],
) -> tuple[jt.LanguageModel, checkpoint.Checkpoint]:
    """Restores the model of a run and its parameters from a checkpoint.

    It is `checkpoint.restore_model`, also for runs from before checkpoints described
    their model. These are built from their configuration.

    Args:
      workdir: The run's directory.
      about: What `checkpoint.read_about` read there.
      which: Which checkpoint, likewise.
      warn: Takes a sentence about a damaged checkpoint that is skipped.

    Raises:
      InputError: If the run has no good checkpoint.
    """
    model = None
    if "model" not in about and "identity" in about:
        model = build_model(
            about["identity"],
            len(Vocabulary.from_json(about["vocabulary"])),
            frequent=tuple(about.get("frequent", ())),
        )
    found = checkpoint.restore_model(workdir, model, which=which, warn=warn)
    read = checkpoint.Checkpoint(found.step, found.about, found.params)
    return found.model, read


def _cell(of, dtype):
    """One layer: the cell, what drops its hidden state, what keeps its state."""
    kinds = LAYER_NORM_CELLS if of["layer_norm"] else CELLS
    cell = kinds[of["cell"]](of["hidden"], dtype=dtype)
    if of["dropout_hidden"]:
        cell = jt.recurrent_dropout(cell, of["dropout_hidden"])
    memory, hidden = of["zoneout"], of["zoneout_hidden"]
    if not (memory or hidden):
        return cell
    return jt.zoneout(
        cell, jt.LSTMState(c=memory, h=hidden) if of["cell"] in WITH_MEMORY else memory
    )


def build_optimizer(config: Config, steps: int = 1) -> optax.GradientTransformation:
    """Builds the optimizer of a configuration.

    The number of planned steps, and the factor on the learning rate, are
    hyperparameters in the optimizer's state, not constants in the compiled step. So
    they can change without compiling again, and a checkpoint holds them.
    """

    def rmsprop(steps, slowdown):
        del steps  # there is no schedule
        return optax.rmsprop(config.learning_rate * slowdown, decay=0.9, eps=1e-7)

    def adamw(steps, slowdown):
        def schedule(count):
            warmup = jnp.minimum(1.0 * config.warmup_steps, steps / 10)
            progress = (count - warmup) / jnp.maximum(steps - warmup, 1)
            fall = SCHEDULES[config.schedule](jnp.clip(progress, 0, 1))
            rise = (count + 1) / jnp.maximum(warmup, 1)
            return config.learning_rate * slowdown * jnp.minimum(rise, fall)

        def matrices(params):
            return jax.tree.map(lambda x: x.ndim > 1, params)

        decay = config.weight_decay
        return optax.chain(
            optax.clip_by_global_norm(config.clip),
            optax.adamw(schedule, b2=0.99, weight_decay=decay, mask=matrices),
        )

    build = {"rmsprop": rmsprop, "adamw": adamw}[config.optimizer]
    return optax.inject_hyperparams(build)(steps=float(steps), slowdown=1.0)


def planned_for(opt_state: Any, steps: int) -> Any:
    """Plans the schedule anew in the state of `build_optimizer`'s optimizer.

    The state stays on its devices.
    """
    return _with(opt_state, steps=steps)


def slowed(opt_state: Any) -> Any:
    """Halves the learning rate in the state of `build_optimizer`'s optimizer."""
    return _with(opt_state, slowdown=opt_state.hyperparams["slowdown"] / 2)


def _with(opt_state, **hyperparams):
    before = opt_state.hyperparams

    def where_it_was(name, value):
        return jax.device_put(jnp.float32(value), before[name].sharding)

    changed = {k: where_it_was(k, v) for k, v in hyperparams.items()}
    return opt_state._replace(hyperparams=before | changed)
