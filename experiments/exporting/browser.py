"""A trained network as a page, and what rounding its weights costs."""

from typing import NamedTuple

import jax

import jaxtext as jt
from charlm.config import WINDOWS
from common.screen import Screen
from evaluation import text as texts
from evaluation.measure import static_loss
from exporting.files import Run
from jaxtext.errors import InputError
from jaxtext.interop.precision import Precision


class Losses(NamedTuple):
    """The loss before and after the weights were rounded, in nats per symbol.

    Attributes:
      before: With the weights as they were trained.
      after: With those of the page.
      symbols: How many symbols were predicted.
      of: The name of the text.
    """

    before: float
    after: float
    symbols: int
    of: str


def measured(
    run: Run,
    precision: Precision,
    specs: tuple[str, ...] | None,
    symbols: int,
    display: Screen,
) -> Losses | None:
    """What rounding costs on a text.

    Args:
      run: What was trained.
      precision: What its parameters are rounded to.
      specs: As ``--corpus``.
      symbols: How many symbols to predict at most.
      display: Shows bars, and why nothing was measured.

    Returns:
      ``None`` if no text was given and the run's own is not where it was.
    """
    display.start("reading the text", total=1)
    try:
        text = texts.read(specs, None, run.workdir, run.about, display)
    except InputError as error:
        if specs is not None:
            raise
        display.say(f"note: what rounding costs is not measured: {error}")
        return None
    ids = text.ids[: symbols + 1]
    if len(ids) < 2:
        raise InputError(f"--corpus: expected 2 characters or more, got {len(ids)}")
    window = WINDOWS[run.about["identity"].get("eval_protocol", "carried")]
    rounded = jt.interop.round_weights(run.params, precision)
    before, after = (
        static_loss(run.model, params, ids, window, display).nats
        for params in (run.params, rounded)
    )
    return Losses(before, after, len(ids) - 1, text.corpus.name)


def details(run: Run, precision: Precision, losses: Losses | None) -> dict[str, str]:
    """What the page says about the network, label by label."""
    of = run.about["identity"]
    layers = "1 layer" if of["layers"] == 1 else f"{of['layers']} layers"
    normal = " with layer norm" if of.get("layer_norm") else ""
    parameters = sum(x.size for x in jax.tree.leaves(run.params))
    weights: str = precision
    if losses is not None:
        weights += (
            f": {losses.after:.4f} nats per character on {losses.symbols:,} characters "
            f"of {losses.of} ({losses.after - losses.before:+.4f} by rounding)"
        )
    return {
        "Network": f"{of['cell'].upper()}{normal}, {layers} of {of['hidden']} units, "
        f"{parameters:,} parameters",
        "Trained on": run.about["corpus"]["name"],
        "Checkpoint": run.checkpoint,
        "Weights": weights,
    }
