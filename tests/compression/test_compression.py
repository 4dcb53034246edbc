"""Files made smaller by a model: back to the byte, as long as the loss, or refused."""

import dataclasses
import hashlib
import itertools
import math
import sys

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

import jaxtext as jt
from jaxtext import compression
from jaxtext.compression import coding, header, machine, reader
from jaxtext.errors import InputError
from jaxtext.text import Vocabulary
from jaxtext.training import DynamicRule, evaluate_dynamic, gradient_rms, surprisals

pytest.importorskip("constriction", reason="without constriction, the extra compress")

LETTERS = "\n aehorstw\u00e9\u6587\U0001f600"
TEXT = "those who wrote\nshow the w\u00e9ather to the horse \u6587\U0001f600\n" * 40
ORIGINAL = TEXT[:300].encode() + b"\xff"
VOCABULARIES = {"chars": Vocabulary("chars", LETTERS), "bytes": Vocabulary("bytes")}


def model_of(kind, cell=None):
    """A model that prefers some symbols, its parameters and its vocabulary."""
    vocabulary = VOCABULARIES[kind]
    model = jt.LanguageModel(cell or jt.gru(8), vocab_size=len(vocabulary))
    params = model.init(jax.random.key(0), None, [[0]])["params"]
    params = jax.tree.map(lambda x: 3 * x, params)
    params["output"]["bias"] = jax.random.normal(jax.random.key(1), len(vocabulary))
    return model, params, vocabulary


MODELS = {kind: model_of(kind) for kind in VOCABULARIES}

PIECES = st.one_of(
    st.binary(), st.text().map(str.encode), st.text(LETTERS).map(str.encode)
)
FILES = st.one_of(
    PIECES,
    st.lists(PIECES, max_size=20).map(b"".join),
    st.tuples(PIECES, st.integers(2, 400)).map(lambda x: x[0][:5] * x[1]),
)


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("kind", MODELS)
@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(data=FILES)
@hypothesis.example(data=b"")
@hypothesis.example(data=b"a")
@hypothesis.example(data=b"\xff")
@hypothesis.example(data=b"\xef\xbb\xbfthe")
@hypothesis.example(data=b"a\xffe\xfe\xc3h\xff\xe2\x82\xacs\xff")
@hypothesis.example(data="\U0001f600".encode()[:3] + b"\xed\xa0\x80")
@hypothesis.example(data=TEXT.encode())
def test_any_file_comes_back(kind, streams, data):
    made = compression.compress(*MODELS[kind], data, streams=streams)
    assert compression.decompress(*MODELS[kind], made.file) == data
    assert compression.read_header(made.file) == made.header
    assert made.header.symbols <= len(data)


def learning_of(model, params, ids, rule):
    batches = jt.text.Streams(ids, batch_size=2, seq_len=rule.segment)
    drawn = (batches.batch(seed=0, k=k) for k in range(3))
    return compression.Learning(rule, gradient_rms(model, params, drawn))


def close(code, bits):
    """Whether a code is as long as it should be, but for its last word."""
    return bits <= 8 * code + 1 and 8 * code <= 1.001 * bits + 64


@pytest.mark.parametrize("kind", MODELS)
def test_the_code_is_as_long_as_the_loss(kind):
    model, params, vocabulary = MODELS[kind]
    made = compression.compress(model, params, vocabulary, TEXT.encode())
    nats = surprisals(model, params, vocabulary.encode(TEXT)).sum(dtype=np.float64)
    bits = nats / math.log(2) + math.log2(len(vocabulary))  # of the first symbol
    assert made.bits == pytest.approx(bits, rel=1e-5)
    assert close(made.header.code, bits)
    assert made.header.rest == 0


def test_the_code_of_several_streams_is_as_long_as_the_loss_of_each():
    model, params, vocabulary = MODELS["chars"]
    made = compression.compress(model, params, vocabulary, TEXT.encode(), streams=4)
    ids, bits = vocabulary.encode(TEXT), 0.0
    starts = np.arange(5) * len(ids) // 4
    for begin, end in itertools.pairwise(starts):
        nats = surprisals(model, params, ids[begin:end]).sum(dtype=np.float64)
        bits += nats / math.log(2) + math.log2(len(vocabulary))
    assert made.bits == pytest.approx(bits, rel=1e-5)
    assert close(made.header.code, bits)


def test_the_code_of_a_model_that_learns_is_as_long_as_its_loss():
    model, params, vocabulary = MODELS["chars"]
    ids, rule = vocabulary.encode(TEXT), DynamicRule(segment=7, rate=1e-3)
    learning = learning_of(model, params, ids, rule)
    given = compression.compress(model, params, vocabulary, TEXT.encode())
    made = compression.compress(*MODELS["chars"], TEXT.encode(), learning=learning)
    nats = evaluate_dynamic(model, params, learning.rms, ids, rule) * (len(ids) - 1)
    bits = nats / math.log(2) + math.log2(len(vocabulary))
    assert made.bits == pytest.approx(bits, rel=1e-5)
    assert close(made.header.code, bits)
    assert made.bits < 0.9 * given.bits  # it has learnt
    back = compression.decompress(*MODELS["chars"], made.file, learning=learning)
    assert back == TEXT.encode()


@pytest.mark.parametrize(
    "model",
    [
        jt.LanguageModel(jt.stack(jt.lstm(4), jt.dropout(0.5)), 13, embedding=3),
        jt.LanguageModel(jt.layer_norm_gru(4), 13, tied=True),
        jt.LanguageModel(jt.rnn(4), 13, frequent=(1, 3, 5)),
    ],
    ids=["embedding", "tied", "frequent"],
)
def test_other_models_bring_a_file_back(model):
    params = model.init(jax.random.key(0), None, [[0]])["params"]
    of = model, params, VOCABULARIES["chars"]
    made = compression.compress(*of, TEXT[:200].encode(), streams=2)
    assert compression.decompress(*of, made.file) == TEXT[:200].encode()


def test_a_single_symbol_needs_no_code():
    model = jt.LanguageModel(jt.gru(2), 1)
    params = model.init(jax.random.key(0), None, [[0]])["params"]
    made = compression.compress(model, params, Vocabulary("chars", "a"), b"aaa")
    assert (made.bits, made.header.code) == (0.0, 0)
    of = model, params, Vocabulary("chars", "a"), made.file
    assert compression.decompress(*of) == b"aaa"


def test_what_cannot_be_predicted_costs_24_bits():
    model, params, vocabulary = MODELS["chars"]
    bias = params["output"]["bias"].at[3].set(-1e9)
    params = params | {"output": params["output"] | {"bias": bias}}
    data = vocabulary.decode([3] * 100).encode()
    made = compression.compress(model, params, vocabulary, data)
    assert 8 * made.header.code == pytest.approx(24 * 99, rel=0.05)
    assert compression.decompress(model, params, vocabulary, made.file) == data


@pytest.fixture(scope="module")
def made():
    return compression.compress(*MODELS["chars"], ORIGINAL)


def refused(*args, **kwargs):
    with pytest.raises(InputError) as error:
        compression.decompress(*args, **kwargs)
    return str(error.value)


def test_a_damaged_file_is_refused(made):
    file = made.file
    for place in range(0, len(file), 7):
        changed = bytearray(file)
        changed[place] ^= 0x10
        said = refused(*MODELS["chars"], bytes(changed))
        assert "is not one" in said if place < 8 else "damaged" in said
    for length in (0, 7, 8, 11, 12, 100, len(file) - 1):
        assert refused(*MODELS["chars"], file[:length])
    assert "damaged" in refused(*MODELS["chars"], file + b"\0")


def changed(made, **fields):
    """The file with another header, whole otherwise."""
    parts = header.take_apart(made.file)
    other = dataclasses.replace(parts.header, **fields)
    return header.put_together(parts._replace(header=other))


@pytest.mark.parametrize(
    "name", ["jaxtext", "jax", "jaxlib", "flax", "constriction", "backend", "device"]
)
def test_other_versions_and_devices_are_refused(made, name):
    made_with = made.header.made_with | {name: "another"}
    said = refused(*MODELS["chars"], changed(made, made_with=made_with))
    assert f"expected {name} another, with which" in said
    assert f"got {made.header.made_with[name]};" in said


def test_another_processor_that_computes_the_same_is_not_refused(made):
    made_with = made.header.made_with | {"processor": "another", "cores": "96"}
    file = changed(made, made_with=made_with)
    assert compression.decompress(*MODELS["chars"], file) == ORIGINAL


def test_another_format_is_refused(made, monkeypatch):
    monkeypatch.setattr(header, "FORMAT", 2)
    assert "of format 2, got 1" in refused(*MODELS["chars"], made.file)


def test_other_parameters_and_vocabularies_are_refused(made):
    model, params, vocabulary = MODELS["chars"]
    other = jax.tree.map(lambda x: x.at[(0,) * x.ndim].add(1e-6), params)
    assert "expected the model" in refused(model, other, vocabulary, made.file)
    letters = Vocabulary("chars", LETTERS.replace("a", "b"))
    assert "expected the model" in refused(model, params, letters, made.file)


def test_another_rule_is_refused(made):
    model, params, vocabulary = MODELS["chars"]
    rule = DynamicRule(segment=7)
    learning = learning_of(model, params, vocabulary.encode(TEXT), rule)
    said = refused(*MODELS["chars"], made.file, learning=learning)
    assert said.startswith("learning: expected the rule None")


def test_other_statistics_are_refused_before_the_work(monkeypatch):
    model, params, vocabulary = MODELS["chars"]
    ids, rule = vocabulary.encode(TEXT), DynamicRule(segment=40)
    learning = learning_of(model, params, ids, rule)
    made = compression.compress(*MODELS["chars"], b"those", learning=learning)
    other = learning._replace(rms=jax.tree.map(lambda x: 1.01 * x, learning.rms))
    monkeypatch.setattr(coding, "decode", pytest.fail)
    said = refused(*MODELS["chars"], made.file, learning=other)
    assert "this machine computes other probabilities" in said


def test_a_machine_that_rounds_otherwise_is_refused_before_the_work(made, monkeypatch):
    probabilities = reader.Reader.probabilities

    def other(self):
        said = probabilities(self).copy()
        said[:, 0] = np.nextafter(said[:, 0], np.float32(1))  # the last bit
        return said

    monkeypatch.setattr(reader.Reader, "probabilities", other)
    monkeypatch.setattr(coding, "decode", pytest.fail)
    said = refused(*MODELS["chars"], made.file)
    assert "this machine computes other probabilities" in said
    assert made.header.made_with["processor"] in said


def test_what_comes_out_wrong_is_refused(made, monkeypatch):
    """Where the probe could not know: another text."""
    probabilities = reader.Reader.probabilities

    def other(self):
        return probabilities(self)[:, ::-1]

    monkeypatch.setattr(machine, "probe", lambda *_: made.header.probe)
    monkeypatch.setattr(reader.Reader, "probabilities", other)
    assert "cannot" in refused(*MODELS["chars"], made.file)


def test_probabilities_that_are_not_finite_are_refused():
    model, params, vocabulary = MODELS["chars"]
    params = jax.tree.map(lambda x: x * np.nan, params)
    with pytest.raises(InputError, match="not finite"):
        compression.compress(model, params, vocabulary, b"those")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"streams": 0}, "streams: expected"),
        ({"streams": 2, "learning": True}, "streams: expected 1 with dynamic"),
    ],
)
def test_wrong_arguments_are_told(given, said):
    with pytest.raises(InputError, match=said):
        compression.compress(*MODELS["chars"], b"those", **given)


def test_without_the_package_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(InputError, match=r"pip install 'jaxtext\[compress\]'"):
        compression.compress(*MODELS["chars"], b"those")


def test_progress_ends_at_the_end():
    calls = []
    made = compression.compress(
        *MODELS["chars"],
        TEXT[:50].encode(),
        streams=3,
        progress=lambda *x: calls.append(x),
    )
    ended = made.header.symbols, made.header.symbols
    assert calls[-1] == ended
    calls.clear()
    compression.decompress(
        *MODELS["chars"], made.file, progress=lambda *x: calls.append(x)
    )
    assert calls[-1] == ended
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_the_digest_of_the_original_ends_the_file(made):
    assert made.file[:-4].endswith(hashlib.sha256(ORIGINAL).digest())
