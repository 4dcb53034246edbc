"""What is trained for RESULTS.md: presets, each in variants and with several seeds."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtext.errors import InputError


class Variant(NamedTuple):
    """A name, and the flags that are added to those of the study."""

    name: str
    flags: str = ""


class Study(NamedTuple):
    """A preset with more flags, to be trained in each variant with each seed.

    Attributes:
      preset: A preset of char_gen.py.
      seeds: The seeds.
      variants: The variants. The first is the base.
      flags: Flags beside the preset, for all variants.
      dynamic: Whether the best checkpoint is also evaluated dynamically.
      protocols: How the checkpoints are evaluated.
    """

    preset: str
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    flags: str = ""
    dynamic: bool = False
    protocols: tuple[str, ...] = ("cold-256", "carried")


STUDIES = {
    "cpu-3min": Study(
        "cpu-3min",
        (0, 1, 2, 3, 4),
        (
            Variant("LSTM"),
            Variant("GRU", "--cell gru"),
            Variant("LSTM, no layer norm", "--no-layer-norm"),
            Variant("GRU, no layer norm", "--cell gru --no-layer-norm"),
        ),
    ),
    # On makemore's names: --corpus names-train.txt --val-corpus names-test.txt. Nothing
    # was chosen on the latter.
    "names": Study(
        "names",
        (0, 1, 2, 3, 4),
        (Variant("LSTM", "--cell lstm"), Variant("GRU", "--cell gru")),
        protocols=("carried",),
    ),
    "shakespeare": Study(
        "shakespeare",
        (0, 1, 2),
        (
            Variant("LSTM", "--cell lstm"),
            Variant("GRU", "--cell gru"),
            Variant("LSTM, no layer norm", "--cell lstm --no-layer-norm"),
            Variant("GRU, no layer norm", "--cell gru --no-layer-norm"),
        ),
        dynamic=True,
    ),
    # Two layers of each cell, as wide as it takes to have 345,000 parameters. The flags
    # are those of cpu-3min, which were chosen for the LSTM.
    "cells": Study(
        "cpu-3min",
        (0, 1, 2),
        (
            Variant("LSTM", "--cell lstm --hidden 156"),
            Variant("GRU", "--cell gru --hidden 181"),
            Variant("minGRU", "--cell min_gru --hidden 369"),
            Variant("ParaGRU", "--cell para_gru --hidden 297"),
            Variant("ParaLSTM", "--cell para_lstm --hidden 296"),
        ),
        flags="--layers 2 --no-layer-norm",
    ),
    # Chooses flags of cpu-3min on the last tenth of its training text, so that the
    # validation text, which `--characters` cuts off, only reports.
    "search": Study(
        "cpu-3min",
        (0, 1, 2),
        (
            Variant("cosine, dropout 0.2", "--schedule cosine --dropout 0.2"),
            Variant("cosine, dropout 0.1", "--schedule cosine --dropout 0.1"),
            Variant("linear, dropout 0.2", "--schedule linear --dropout 0.2"),
            Variant("linear, dropout 0.1", "--schedule linear --dropout 0.1"),
            Variant("linear, no dropout", "--schedule linear --dropout 0"),
        ),
        flags="--steps 4500 --characters 1003854 --eval-every 4500 --sample-every 0",
    ),
    "ablation": Study(
        "cpu-3min",
        (0, 1, 2),
        (
            Variant("base"),
            Variant("GRU", "--cell gru"),
            Variant("rate 4e-3", "--learning-rate 4e-3"),
            Variant("no weight decay", "--weight-decay 0"),
            Variant("no dropout", "--dropout 0"),
            Variant("a dropout mask a step", "--no-variational"),
            Variant("no random resets", "--reset-probability 0"),
            Variant("no clipping", "--clip 1e9"),
            Variant("no warm-up", "--warmup-steps 0"),
            Variant("constant rate", "--schedule constant"),
            Variant(
                "constant rate, averaged", "--schedule constant --average-decay 0.999"
            ),
            Variant("averaged", "--average-decay 0.999"),
            Variant("three lengths", "--seq-len 48 32 16"),
            Variant("weight drop 0.2", "--weight-drop 0.2"),
            Variant("tied", "--tied"),
            Variant("tied, input dropout 0.1", "--tied --dropout-input 0.1"),
            Variant("hidden dropout 0.1", "--dropout-hidden 0.1"),
            Variant("zoneout 0.1, 0.05", "--zoneout 0.1 --zoneout-hidden 0.05"),
            Variant("layer norm", "--layer-norm"),
            Variant("label smoothing 0.05", "--label-smoothing 0.05"),
            Variant("embedding of 384", "--embedding 384"),
            Variant("layer norm, tied", "--layer-norm --tied"),
        ),
        # It was run before the preset had layer norm, which it showed to help. Three
        # minutes had time for 4096 steps.
        flags="--steps 4096 --no-layer-norm",
    ),
}


def select(study: Study, names: Sequence[str]) -> list[Variant]:
    """The variants with these names, or all of them if there are no names.

    Raises:
      InputError: If the study has no variant with one of the names.
    """
    known = [variant.name for variant in study.variants]
    if unknown := set(names) - set(known):
        raise InputError(f"--variants: expected of {known}, got {unknown}")
    return [x for x in study.variants if not names or x.name in names]
