"""Every cell keeps the contract: each clause, with cases drawn from a small pool.

As part of the suite each cell meets each clause by each of its backends in a type of
its own, the same in every run. ``make contracts`` draws ten cases each, with other
sizes too, anew.
"""

import itertools
import random

import contracts
import hypothesis
import jax
import jax.numpy as jnp
import pytest
from hypothesis import strategies

import jaxtext as jt
from jaxtext.kernels.mosaic_gpu.launch import serves

H = 4
CELLS = {
    "rnn": lambda **t: jt.rnn(H, **t),
    "lstm": lambda **t: jt.lstm(H, **t),
    "gru": lambda **t: jt.gru(H, **t),
    "gru, reset before": lambda **t: jt.gru(H, reset_after=False, **t),
    "heads": lambda **t: jt.lstm(H, heads=2, **t),
    "one wide": lambda **t: jt.lstm(1, **t),
    "layer_norm_rnn": lambda **t: jt.layer_norm_rnn(H, **t),
    "layer_norm_lstm": lambda **t: jt.layer_norm_lstm(H, **t),
    "layer_norm_gru": lambda **t: jt.layer_norm_gru(H, **t),
    "coupled_lstm": lambda **t: jt.coupled_lstm(H, **t),
    "peephole_lstm": lambda **t: jt.peephole_lstm(H, **t),
    "projected_lstm": lambda **t: jt.projected_lstm(H, 3, **t),
    "min_gru": lambda **t: jt.min_gru(H, **t),
    "min_lstm": lambda **t: jt.min_lstm(H, **t),
    "para_gru": lambda **t: jt.para_gru(H, **t),
    "para_lstm": lambda **t: jt.para_lstm(H, **t),
    "minimal_gated_unit": lambda **t: jt.minimal_gated_unit(H, **t),
    "mogrifier": lambda dtype, param_dtype: jt.mogrifier(
        jt.lstm(H, dtype=dtype, param_dtype=param_dtype), 3, param_dtype=param_dtype
    ),
    "zoneout": lambda **t: jt.zoneout(jt.lstm(H, **t), jt.LSTMState(c=0.5, h=0.1)),
    "recurrent_dropout": lambda **t: jt.recurrent_dropout(jt.lstm(H, **t), 0.5),
    "variational_dropout": lambda **t: jt.stack(
        jt.gru(H, **t), jt.variational_dropout(0.5)
    ),
    "stack": lambda **t: jt.stack(
        jt.lstm(H, **t), jt.dropout(0.5), jt.residual(jt.gru(H, **t)), jt.rnn(3, **t)
    ),
    "stack in a stack": lambda **t: jt.stack(
        jt.stack(jt.gru(3, **t)), jt.residual(jt.stack(jt.min_gru(3, **t)))
    ),
    "bidirectional": lambda **t: jt.bidirectional(jt.lstm(H, **t), jt.gru(3, **t)),
    "bidirectional stack": lambda **t: jt.stack(
        jt.bidirectional(jt.stack(jt.gru(2, **t), jt.dropout(0.5)), merge="mean"),
        jt.rnn(3, **t),
    ),
    "without biases": lambda **t: jt.stack(
        *(make(H, use_bias=False, **t) for make in (jt.lstm, jt.gru, jt.rnn))
    ),
    "other activations": lambda **t: jt.stack(
        *(
            make(H, activation=jax.nn.softplus, **t)
            for make in (jt.lstm, jt.gru, jt.rnn)
        )
    ),
}
WHOLE_ONLY = {"bidirectional", "bidirectional stack"}
THOROUGH = hypothesis.settings.get_current_profile_name() == "thorough"
# Where JAX is too old for those for GPU, tests/kernels/test_mosaic_gpu.py says so.
KERNELS = ("mosaic", "mosaic_gpu") if serves() else ("mosaic",)
BACKENDS = dict.fromkeys(CELLS, ("scan",)) | {
    # What the kernels for an RNN do not share with the others, their own tests see.
    "rnn": ("scan", "fused", *(KERNELS if THOROUGH else ())),
    "gru": ("scan", "fused", *KERNELS),
    "lstm": ("scan", "fused", *KERNELS, "cudnn"),
    **dict.fromkeys(("min_gru", "min_lstm"), ("scan", "parallel")),
    **dict.fromkeys(("para_gru", "para_lstm"), ("scan", "fused", "newton")),
    **dict.fromkeys(
        (
            "gru, reset before",
            "layer_norm_rnn",
            "layer_norm_gru",
            "coupled_lstm",
            "peephole_lstm",
            "projected_lstm",
            "minimal_gated_unit",
            "mogrifier",
            "zoneout",
            "recurrent_dropout",
        ),
        ("scan", "fused"),
    ),
    "layer_norm_lstm": ("scan", "fused", "mosaic"),
    "heads": ("scan", "fused", "mosaic"),
    **dict.fromkeys(("one wide", "stack", "without biases"), ("fused",)),
    **dict.fromkeys(WHOLE_ONLY, ("fused",)),
}
DTYPES = "float32", "float64", "bfloat16"
LACKING = {"mosaic_gpu": ("float64",)}
SIZES = [(contracts.B,), (contracts.T,), (contracts.D,)]  # none of them degenerate
if THOROUGH:
    SIZES = [(1, 3), (1, 2, 7), (1, 5)]
POOL = list(itertools.product(*SIZES, DTYPES))


# One of each kind: a cell, cells on top of each other with noise, both directions.
KINDS = ("lstm", "stack", "bidirectional")
MEETINGS = [(name, backend) for name in CELLS for backend in BACKENDS[name]]


def hold(name, backend, clause, case):
    with jax.enable_x64(case.dtype == "float64"):
        param_dtype = jnp.promote_types(case.dtype, "float32")
        clause(CELLS[name](dtype=case.dtype, param_dtype=param_dtype), case)


@pytest.mark.everyday("backend clause", "name backend", thorough=["name clause"])
@pytest.mark.parametrize(
    ("name", "backend", "clause"),
    [
        pytest.param(name, backend, clause, id=f"{name}-{backend}-{clause.__name__}")
        for name, backend in MEETINGS
        for clause in contracts.FOR_EVERY_CELL + contracts.FOR_EVERY_CELL_THAT_STEPS
        if name not in WHOLE_ONLY or clause not in contracts.FOR_EVERY_CELL_THAT_STEPS
    ],
)
@hypothesis.settings(
    max_examples=10 if THOROUGH else 1,
    derandomize=not THOROUGH,
    deadline=None,
    phases=[hypothesis.Phase.generate],  # to shrink would be to compile again and again
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(strategies.data())
def test_contract(name, backend, clause, data):
    # A single example is always a pool's first entry: let that be another each time.
    shuffled = random.Random(f"{name} {backend} {clause.__name__}")
    pool = [case for case in POOL if case[-1] not in LACKING.get(backend, ())]
    pool = shuffled.sample(pool, len(pool))
    case = contracts.Case(*data.draw(strategies.sampled_from(pool)), backend)
    hold(name, backend, clause, case)


@pytest.mark.everyday("backend", backend=("fused",), thorough=["backend"])
@pytest.mark.parametrize(("name", "backend"), MEETINGS)
def test_one_sequence_of_one_step_of_one_number(name, backend):
    case = contracts.Case(1, 1, 1, "float32", backend)
    hold(name, backend, contracts.neither_backend_nor_remat_changes_anything, case)
    hold(name, backend, contracts.symbols_are_one_hot_rows, case)
    if name not in WHOLE_ONLY:
        hold(name, backend, contracts.unroll_is_repeated_step, case)


def test_every_backend_is_held_to_the_contract():
    float32 = {"dtype": "float32", "param_dtype": "float32"}
    cells = [make_cell(**float32) for make_cell in CELLS.values()]
    known = {backend.name for cell in cells for backend in cell.backends}
    known -= set() if serves() else {"mosaic_gpu"}
    assert known == {name for names in BACKENDS.values() for name in names} - {"scan"}
