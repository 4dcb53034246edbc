"""Cells and models as text: each is built again, and nothing else is."""

import json

import jax
import jax.numpy as jnp
import pytest
from test_contracts import CELLS

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop.written import call_of, cell_of, model_of, written


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_built_again(name):
    for dtype in ("float32", "bfloat16"):
        cell = CELLS[name](dtype=dtype, param_dtype="float32")
        assert cell_of(repr(cell)) is cell


def test_a_call_has_the_arguments_by_name():
    cell = jt.stack(
        jt.zoneout(jt.lstm(8, dtype="bfloat16"), jt.LSTMState(c=0.5, h=0.1)),
        jt.residual(jt.rnn(8, activation=jax.nn.relu)),
    )
    first, second = call_of(cell).arguments["cells"]
    assert first.arguments["rate"].arguments == {"c": 0.5, "h": 0.1}
    assert first.arguments["cell"].arguments["dtype"] == jnp.bfloat16
    assert second.arguments["cell"].arguments["activation"] is jax.nn.relu


MODEL = jt.LanguageModel(
    jt.stack(jt.gru(8), jt.dropout(0.5)),
    9,
    jnp.bfloat16,
    embedding=4,
    weight_drop=0.25,
    frequent=(3, 1),
)


@pytest.mark.parametrize(
    "model", [MODEL, jt.LanguageModel(jt.lstm(4), 5, tied=True), MODEL.clone(end=8)]
)
def test_a_model_is_built_again(model):
    assert model_of(json.loads(json.dumps(written(model)))) == model


@pytest.mark.parametrize(
    "source",
    [
        *("", "jt", "3", "jt.lstm", "jt.lstm(", "lstm(8)", "jt.lstm(8)(9)"),
        *("jt.unroll(8)", "jt.interop.to_torch(8)", "__import__('os').getcwd()"),
        *("jt.rnn(8, activation=jnp.save)", "jt.rnn(8, activation=jax.nn.one_hot)"),
        *("jt.lstm(2 ** 9)", "jt.lstm(hidden=[x for x in (8,)])", "jt.lstm(**{})"),
        *("jt.lstm(8, 9)", "jt.lstm()", "jt.lstm(-8)", "jt.stack()", "(" * 9999),
        *("jt.LSTMState(1, 2)", "jt.stack(3)", "jt.lstm(x=3)", "\0"),
    ],
)
def test_what_is_no_cell_is_refused(source):
    with pytest.raises(InputError):
        cell_of(source)


@pytest.mark.parametrize(
    "cell",
    [
        jt.rnn(4, activation=lambda x: x),
        jt.lstm(4, kernel_init=jax.nn.initializers.normal()),
        jt.with_step(jt.gru(4), lambda params, state, x, noise=None: (state, state)),
        jt.gru(4)._replace(source=""),
    ],
)
def test_a_function_of_your_own_is_not_written(cell):
    with pytest.raises(InputError, match="made of jaxtext's constructors"):
        call_of(cell)


@pytest.mark.parametrize(
    "change",
    [
        *({"cell": "jt.lstm"}, {"cell": 3}, {"dtype": "int8"}, {"frequent": 3}),
        *({"frequent": None}, {"vocab_size": None}, {"dtype": ["float32"]}),
        *({"end": -1}, {"end": "8"}),
    ],
)
def test_a_damaged_model_is_refused(change):
    with pytest.raises(InputError):
        model_of({**written(MODEL), **change})
    whole = written(MODEL)
    for name in whole:
        with pytest.raises(InputError):
            model_of({k: v for k, v in whole.items() if k != name})
