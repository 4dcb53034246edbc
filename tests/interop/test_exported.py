"""A model as functions of jax.export: run without jaxtext, they are the model's own."""

import json
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.generation import generate
from jaxtext.interop import save_exported
from jaxtext.text import Vocabulary

pytest.importorskip("flatbuffers")

VOCABULARY = Vocabulary("chars", "\nabcdé😀")
LAYERS = jt.stack(
    jt.layer_norm_lstm(6),
    jt.dropout(0.5),
    jt.residual(jt.zoneout(jt.gru(6), 0.1)),
)
MODEL = jt.LanguageModel(LAYERS, 7, tied=True, frequent=(2, 0))
# As docs/guides/carry_away.md has it.
WRITE = """
import json, sys, zipfile
import jax, numpy as np

with zipfile.ZipFile(sys.argv[1]) as file:
    step = jax.export.deserialize(bytearray(file.read("step")))
    about = json.loads(file.read("about.json"))
characters = about["vocabulary"]["characters"]
state = [np.zeros((1, width), dtype) for width, dtype in about["state"]]
text = "\\n"
for _ in range(100):
    state, logits = step.call(state, np.array([characters.index(text[-1])], "int32"))
    text += characters[int(logits[0].argmax())]
print(json.dumps(text), "jaxtext" in sys.modules)
"""


@pytest.fixture(scope="module")
def params():
    start = MODEL.init(jax.random.key(0), None, jnp.zeros((1, 1), int))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: x + rng.normal(size=x.shape).astype("f"), start)


@pytest.fixture(scope="module")
def path(tmp_path_factory, params):
    path = tmp_path_factory.mktemp("exported") / "net.jax"
    save_exported(path, MODEL, params, VOCABULARY)
    return path


def test_both_functions_are_those_of_the_model(path, params):
    with zipfile.ZipFile(path) as file:
        about = json.loads(file.read("about.json"))
        step, read = (
            jax.export.deserialize(bytearray(file.read(x))) for x in ("step", "read")
        )
    assert step.platforms == read.platforms == ("cpu", "cuda", "tpu")
    assert about["vocabulary"] == VOCABULARY.to_json()
    rng = np.random.default_rng(0)
    for batch, length in ((1, 9), (3, 4)):
        ids = rng.integers(7, size=(batch, length)).astype("int32")
        expected = MODEL.apply({"params": params}, None, ids)[1]
        start = [np.zeros((batch, *shape), dtype) for *shape, dtype in about["state"]]
        state, logits = read.call(start, ids)
        np.testing.assert_allclose(logits, expected, 1e-6, 1e-6)
        for t in range(length):
            start, logits = step.call(start, ids[:, t])
            np.testing.assert_allclose(logits, expected[:, t], 1e-6, 1e-6)
        for one, other in zip(state, start, strict=True):
            np.testing.assert_allclose(one, other, 1e-6, 1e-6)


def test_it_writes_without_jaxtext(path, params):
    found = subprocess.run(
        [sys.executable, "-c", WRITE, path], capture_output=True, text=True, check=True
    )
    pieces = generate(MODEL, params, [[0]], 100, key=jax.random.key(0), temperature=0.0)
    expected = VOCABULARY.decode(np.concatenate(list(pieces), axis=1)[0])
    text, imported = found.stdout.rsplit(maxsplit=1)
    assert json.loads(text) == "\n" + expected
    assert len(set(expected)) > 2
    assert imported == "False"


def test_what_cannot_be_exported_is_refused(tmp_path, params):
    with pytest.raises(InputError, match="expected one of 7 symbols"):
        save_exported(tmp_path / "net", MODEL, params, Vocabulary("bytes"))
    both = jt.LanguageModel(jt.bidirectional(jt.gru(4)), 7)
    with pytest.raises(InputError, match="expected one with a step"):
        save_exported(tmp_path / "net", both, {})
    assert list(tmp_path.iterdir()) == []
