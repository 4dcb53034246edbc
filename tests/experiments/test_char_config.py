"""Flags, presets, what they build, and what they refuse."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxtext as jt
from charlm.build import build_model
from charlm.config import Config
from charlm.identity import identity
from charlm.parse import parse
from common.rules import fields_without
from jaxtext.errors import InputError
from presets import PRESETS

IDS = np.arange(12).reshape(2, 6) % 5


def built(*flags):
    return build_model(identity(parse([str(f) for f in flags]), ""), 5)


def logits(model, key=None):
    start = model.initial_state((2,))
    variables = model.init(jax.random.key(0), start, IDS)
    rngs = {} if key is None else {"rngs": {"dropout": key}}
    return model.apply(variables, start, IDS, **rngs)[1]


SMALL = ("--hidden", 8, "--dropout", 0)


@pytest.mark.parametrize(
    "flags",
    [
        ("--dropout", 0.5),
        ("--dropout", 0.5, "--variational"),
        ("--layers", 2, "--dropout-between", 0.5),
        ("--tied", "--dropout-input", 0.5),
        ("--dropout-hidden", 0.5),
        ("--weight-drop", 0.5),
        ("--zoneout", 0.5),
        ("--zoneout-hidden", 0.5),
        ("--cell", "gru", "--zoneout", 0.5),
        ("--cell", "gru", "--layer-norm", "--zoneout", 0.5),
        ("--cell", "rnn", "--layer-norm", "--weight-drop", 0.5),
        ("--cell", "rnn", "--zoneout", 0.5),
    ],
)
def test_each_noise_is_there_with_a_key_alone(flags):
    model = built(*SMALL, *flags)
    quiet = logits(model)
    np.testing.assert_array_equal(quiet, logits(model))
    assert not np.array_equal(quiet, logits(model, jax.random.key(1)))


@pytest.mark.parametrize("variational", [True, False])
def test_variational_masks_are_one_a_sequence(variational):
    flags = ("--variational",) if variational else ()
    model = built("--cell", "rnn", "--hidden", 64, "--dropout", 0.5, *flags)
    cell, start = model.cell, model.cell.initial_state((1,))
    params = cell.init(jax.random.key(0), 5)
    _, ys = jt.unroll(cell, params, start, IDS[:1], key=jax.random.key(1))
    dropped = np.asarray(ys[0]) == 0
    assert (dropped == dropped[0]).all() == variational


def test_layers_norm_residual_and_embedding():
    plain, params = built(*SMALL, "--layers", 2), {}
    for name, flags in {
        "plain": (),
        "residual": ("--residual",),
        "norm": ("--layer-norm",),
        "embedding": ("--embedding", 3),
        "tied": ("--tied",),
    }.items():
        model = built(*SMALL, "--layers", 2, *flags)
        params[name] = model.init(jax.random.key(0), model.initial_state((2,)), IDS)
    shapes = {k: jax.tree.map(np.shape, v["params"]) for k, v in params.items()}
    assert shapes["residual"] == shapes["plain"]
    assert not np.array_equal(
        logits(plain), logits(built(*SMALL, "--layers", 2, "--residual"))
    )
    assert all("cell_scale" in layer for layer in shapes["norm"]["recurrent"].values())
    assert shapes["embedding"]["embedding"] == (5, 3)
    assert shapes["tied"]["embedding"] == (5, 8)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_configurations(preset):
    config = parse(["--preset", preset])
    assert config.preset == preset
    assert {k: getattr(config, k) for k in PRESETS[preset]} == PRESETS[preset]
    assert parse(["--preset", preset, "--seed", "7"]).seed == 7
    model = build_model(identity(config, ""), 5)
    jax.eval_shape(model.init, jax.random.key(0), model.initial_state((2,)), IDS)


def test_a_budget_takes_the_place_of_the_presets():
    assert parse(["--preset", "cpu-3min"]).minutes == 3
    by_steps = parse(["--preset", "cpu-3min", "--steps=7"])
    assert (by_steps.steps, by_steps.minutes) == (7, None)
    by_time = parse(["--preset", "tutorial", "--minutes", "2"])
    assert (by_time.epochs, by_time.minutes) == (None, 2)


def test_a_run_older_than_an_option_has_not_got_it():
    of = identity(Config(hidden=8), "")
    new = {"tied", "weight_drop", "zoneout", "embedding", "variational"}
    older = {k: v for k, v in of.items() if k not in new}
    np.testing.assert_array_equal(
        logits(build_model(older, 5)), logits(build_model(of, 5))
    )


def test_fields_outside_the_identity_are_those_of_runs_that_exist():
    """Or their default directories, and they themselves, would not be found again."""
    hosts = {"distributed", "coordinator", "num_processes", "process_id"}
    hosts |= {"heartbeat_seconds", "meet_seconds"}
    ways = {"profile", "print_config", "dry_run", "compilation_cache", "hang_seconds"}
    assert fields_without(Config, "kept") == {"workdir", "init_from", *ways, *hosts}
    assert fields_without(Config, "identity") == {
        *("workdir", "steps", "epochs", "minutes", "backend", "remat", *hosts),
        *("data_parallel", "max_skips", "max_rollbacks", "keep", "save_minutes"),
        *("save_steps", "sample_every", "tensorboard", "wandb", "init_from", *ways),
        *("documents", "field", "document_order", "val_split"),
        *("newlines", "any_bytes", "exclude", "patience", "log_every"),
    }
    assert not fields_without(Config, "identity") & identity(Config(), "").keys()


def test_several_lengths():
    assert parse(["--seq-len", "64", "32"]).seq_lens == (64, 32)
    assert parse(["--seq-len", "64"]).seq_lens == (64,)
    assert identity(Config(seq_len=(64, 32)), "")["seq_len"] == [64, 32]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--seq-len 64 0", "--seq-len: expected a whole number of 1 or more, got 0"),
        ("--seq-len 64 32 --stride 3", "--seq-len: expected one number with --stride"),
        ("--reset-probability 0.1 --stride 3", "leave one of them out"),
        ("--dropout-input 0.1", "add --tied or --embedding"),
        ("--tied --embedding 3", "as wide as a layer, 256, got 3"),
        ("--dropout-hidden 0.1 --cell gru", "expected --cell lstm or para_lstm"),
        ("--zoneout-hidden 0.1 --cell gru", "expected --cell lstm or para_lstm"),
        ("--layer-norm --cell para_gru", "no layer norm; add --no-layer-norm"),
        ("--weight-drop 0.1 --cell min_lstm", "no weight drop; add --weight-drop 0"),
        ("--residual", "--residual: expected --layers 2 or more"),
        ("--dropout-between 0.1", "--dropout-between: expected --layers 2 or more"),
        ("--optimizer rmsprop --clip 5", "--clip: expected --optimizer adamw"),
        ("--preset tutorial --schedule constant", "rmsprop has none, got constant"),
        (
            "--sample-every -3",
            "--sample-every: expected a whole number of 0 or",
        ),
        ("--weight-drop 1", "at least 0 and below 1, got 1"),
        ("--zoneout -0.1", "at least 0 and below 1, got -0.1"),
        ("--average-decay 1", "at least 0 and below 1"),
        ("--label-smoothing nan", "at least 0 and below 1, got nan"),
        ("--clip 0", "--clip: expected a finite number above 0"),
        (
            "--warmup-steps -1",
            "--warmup-steps: expected a whole number of 0 or",
        ),
    ],
)
def test_what_no_run_could_have(flags, said):
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        parse(flags.split())


def test_every_field_is_told_in_help(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    told = capsys.readouterr().out
    for field in dataclasses.fields(Config):
        assert f"--{field.name.replace('_', '-')}" in told
