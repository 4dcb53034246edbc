"""A model in a safetensors file, and back; what is no such file is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop import load_safetensors, save_safetensors
from jaxtext.text import Vocabulary

safetensors = pytest.importorskip("safetensors.numpy")

VOCABULARY = Vocabulary("chars", "abc😀")
LAYERS = jt.stack(
    jt.layer_norm_lstm(6, dtype="bfloat16"),
    jt.dropout(0.5),
    jt.residual(jt.zoneout(jt.lstm(6, param_dtype="bfloat16"), jt.LSTMState(0.5, 0.1))),
)
MODEL = jt.LanguageModel(LAYERS, 4, jnp.bfloat16, tied=True, frequent=(2, 0))


@pytest.fixture(scope="module")
def params():
    return MODEL.init(jax.random.key(0), None, jnp.zeros((1, 1), int))["params"]


@pytest.fixture
def path(tmp_path, params):
    path = tmp_path / "net.safetensors"
    save_safetensors(path, MODEL, params, VOCABULARY, about={"run": "é"})
    return path


def test_everything_comes_back(path, params):
    found = load_safetensors(path)
    assert (found.model, found.vocabulary) == (MODEL, VOCABULARY)
    assert found.about == {"run": "é"}
    assert jax.tree.structure(found.params) == jax.tree.structure(params)
    for ours, theirs in zip(*map(jax.tree.leaves, (found.params, params)), strict=True):
        assert ours.dtype == theirs.dtype
        assert (ours == theirs).all()
    ids = jnp.array([[1, 0, 3, 2]])
    of_found = found.model.apply({"params": found.params}, None, ids)[1]
    assert (of_found == MODEL.apply({"params": params}, None, ids)[1]).all()


def test_others_read_it_by_names(path, params):
    arrays = safetensors.load_file(path)
    kernel = params["recurrent"]["0"]["recurrent_kernel"]
    assert (arrays["recurrent.0.recurrent_kernel"] == np.asarray(kernel)).all()


def test_without_a_vocabulary(tmp_path, params):
    save_safetensors(tmp_path / "net", MODEL, params)
    assert load_safetensors(tmp_path / "net").vocabulary is None


def test_what_cannot_be_saved_is_refused(tmp_path, params):
    path = tmp_path / "net"
    with pytest.raises(InputError, match="expected one of 4 symbols"):
        save_safetensors(path, MODEL, params, Vocabulary("bytes"))
    with pytest.raises(InputError, match="other names than model"):
        save_safetensors(path, MODEL, params, about={"model": ""})
    own = jt.LanguageModel(jt.rnn(4, activation=lambda x: x), 4)
    with pytest.raises(InputError, match="made of jaxtext's constructors"):
        save_safetensors(path, own, {})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_damaged_is_refused(path):
    whole = path.read_bytes()
    for size in (0, 7, 8, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="expected a file in the safetensors"):
            load_safetensors(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "pt"}, "that save_safetensors wrote"),
        ({"model": None}, "that save_safetensors wrote"),
        ({"model": "{"}, "expected JSON in the metadata"),
        ({"model": "[]"}, "expected JSON in the metadata"),
        ({"model": "{}"}, "expected a model as jaxtext writes it"),
        ({"vocabulary": "3"}, "expected JSON in the metadata"),
        ({"vocabulary": "{}"}, "keys kind and characters"),
        ({"vocabulary": '{"kind": "bytes", "characters": ""}'}, "one of 4 symbols"),
    ],
)
def test_other_metadata_is_refused(path, change, said):
    arrays = safetensors.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata() | change
    metadata = {k: x for k, x in metadata.items() if x is not None}
    safetensors.save_file(arrays, path, metadata)
    with pytest.raises(InputError, match=said):
        load_safetensors(path)


def test_other_arrays_are_refused(path):
    arrays = safetensors.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    assert json.loads(metadata["model"])["cell"] == repr(LAYERS)
    for other in (np.zeros(3, "f"), None):
        changed = {k: x for k, x in arrays.items() if k != "bias"}
        changed |= {} if other is None else {"bias": other}
        safetensors.save_file(changed, path, metadata)
        with pytest.raises(InputError, match="of the names bias"):
            load_safetensors(path)
