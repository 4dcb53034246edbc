"""look_inside.py: properties of a text, units of a network, and what goes with what."""

import json

import char_gen
import jax
import jax.numpy as jnp
import look_inside
import numpy as np
import pytest

from charlm.build import build_model
from inside import units as look_units
from inside.compare import compare, correlations
from inside.properties import properties

CODE = """def f(a):
    '''It's (quoted'''
    return g("x\\"y", [a], '\\\\')  # so (don't

def h(: 1

def i(): f"{b}"
"""


def _so(text, name):
    """The characters where a property holds."""
    measure = properties(text)[name]
    return "".join(c for c, x in zip(text, measure, strict=True) if x)


def test_quotation_brackets_and_comments_are_python_s():
    quoted = "'''It's (quoted''" + '"x\\"y' + "'\\\\" + '"{b}'
    assert _so(CODE, "inside quotation marks") == quoted
    brackets = "(a" + '("x\\"y", [a], ' + "'\\\\'" + "(: 1" + "("
    assert _so(CODE, "inside brackets") == brackets
    assert _so(CODE, "inside a comment") == "# so (don't"


@pytest.mark.parametrize(
    "text", ["don't\n'tis a \"word\n", "I'll say he's gone", "'tis he's gone"]
)
def test_an_apostrophe_is_no_quotation(text):
    assert not _so(text, "inside quotation marks")


def test_lines_words_and_speakers():
    found = properties("KING LEAR:\n  Blow, w\n")
    column = found["column of the line"]
    assert column[10:].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert found["indentation so far"][10:].tolist() == [0, 1, *[2] * 8, 0]
    word = found["letters of the word so far"]
    assert word[:5].tolist() == [1, 2, 3, 4, 0]
    assert word[12:].tolist() == [0, 1, 2, 3, 4, 0, 0, 1, 0]
    speaker = "in a line that names a speaker"
    assert _so("KING LEAR:\nBlow: a\n", speaker) == "KING LEAR:"


def test_an_empty_text_has_properties_of_no_places():
    assert all(measure.shape == (0,) for measure in properties("").values())


@pytest.mark.parametrize(
    "identity",
    [
        {"cell": "rnn", "embedding": 3},
        {"cell": "gru"},
        {"cell": "gru", "residual": True, "layers": 3},
        {"cell": "lstm", "dropout_between": 0.0},
        {"cell": "lstm", "embedding": 3, "residual": True, "layers": 3},
        {"cell": "lstm", "layer_norm": True},
        {"cell": "gru", "layer_norm": True, "embedding": 3},
    ],
)
def test_states_and_gates_are_those_of_the_cell(identity):
    identity = {"hidden": 4, "layers": 2, **identity}
    model = build_model(identity, 5)
    ids = np.array([1, 4, 2, 2, 0, 3])
    start = model.initial_state(())
    params = model.init(jax.random.key(0), start, ids)["params"]
    units = look_units.watch(model, params, ids, identity)
    assert units.values.shape == (6, len(units.names))
    assert len(set(units.names)) == len(units.names)

    def of(layer, part):
        names = [f"layer {layer}, {part}[{k}]" for k in range(4)]
        return units.values[:, [units.names.index(name) for name in names]]

    end, _ = model.apply({"params": params}, start, ids)
    states = [state for state in end if jax.tree.leaves(state)]
    assert len(states) == identity["layers"]
    for layer, state in enumerate(states, 1):
        h = state.h if identity["cell"] == "lstm" else state
        np.testing.assert_allclose(of(layer, "h")[-1], h, 1e-4, 1e-6)
        if identity["cell"] == "rnn":
            assert f"layer {layer}, f[0]" not in units.names
        elif identity["cell"] == "lstm":
            c, f, i, o = (of(layer, part) for part in "cfio")
            read = c
            if identity.get("layer_norm"):
                read = c - c.mean(1, keepdims=True)
                read /= np.sqrt((read**2).mean(1, keepdims=True) + 1e-5)
            np.testing.assert_allclose(of(layer, "h"), o * np.tanh(read), 1e-4, 1e-6)
            candidate = (c[1:] - f[1:] * c[:-1]) / i[1:]
            assert np.abs(candidate).max() < 1.0
        else:
            h, z = of(layer, "h"), of(layer, "z")
            candidate = (h[1:] - z[1:] * h[:-1]) / (1 - z[1:])
            assert np.abs(candidate).max() < 1.0


def test_gates_are_those_that_the_parameters_say():
    """Biases that decide everything: which gate is which, and of which layer."""
    for cell, gates, closed in (("lstm", "ifgo", "f"), ("gru", "rzn", "z")):
        identity = {"cell": cell, "hidden": 4, "layers": 2}
        model = build_model(identity, 5)
        ids, start = np.array([1, 4, 2]), model.initial_state(())
        params = model.init(jax.random.key(0), start, ids)["params"]
        decided = [-40.0 if gate == closed else 40.0 for gate in gates]
        params["recurrent"]["2"]["bias"] = jnp.repeat(jnp.array(decided), 4)
        units = look_units.watch(model, params, ids, identity)
        for name, values in zip(units.names, units.values.T, strict=True):
            part = name.removeprefix("layer 2, ")[0]
            if name.startswith("layer 2") and part in gates:
                assert (values.max() < 1e-9) == (part == closed)
                assert (values.min() == 1.0) == (part != closed)


def test_the_unit_is_chosen_on_one_half_and_measured_on_the_other():
    rng = np.random.default_rng(0)
    measure = rng.integers(0, 2, 400).astype(np.float32)
    noise = rng.normal(size=(400, 3)).astype(np.float32)
    noise[:, 1] = 1.0  # constant
    noise[:200, 2] = -measure[:200]  # goes with it in the first half alone
    units = look_units.Units(["a", "b", "c"], noise)
    late = np.where(np.arange(400) < 200, 0, measure)
    (found,) = compare(units, {"so": measure, "late": late})
    assert (found.of, found.unit) == ("so", "c")
    assert found.chosen == pytest.approx(-1.0)
    assert abs(found.held_out) < 0.3
    expected = np.corrcoef(noise[:, 0], measure)[0, 1]
    table = correlations(noise, np.stack([measure, -measure], 1))
    np.testing.assert_allclose(table[0], [expected, -expected], atol=1e-6)
    assert not table[1].any()


def test_a_run_is_looked_into(tmp_path, capsys):
    (tmp_path / "text").write_text(CODE * 40)
    run, text = str(tmp_path / "run"), str(tmp_path / "text")
    small = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "3"]
    assert char_gen.main(["--corpus", text, "--workdir", run, *small]) == 0
    capsys.readouterr()
    command = ["--workdir", run, "--corpus", text, "--unit", "layer 1, f[3]"]
    assert look_inside.main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["found"]) >= {"inside brackets", "inside quotation marks"}
    page = (tmp_path / "run" / "look-inside.html").read_text()
    assert "as asked for: layer 1, f[3]" in page
    assert page.count("<b class=") > len(said["found"]) * 100

    assert look_inside.main([*command[:-1], "layer 9, f[3]"]) == 2
    assert "--unit: expected one of layer 1, c[0]" in capsys.readouterr().err
    assert look_inside.main([*command, "--characters", "3"]) == 2
    assert (
        "--characters: expected a whole number of 100 or more"
        in capsys.readouterr().err
    )
    assert look_inside.main([*command, "--page", str(tmp_path / "no" / "page")]) == 2
    assert "give another place as --page" in capsys.readouterr().err
