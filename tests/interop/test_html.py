"""A model in a page: the JavaScript computes what the model does; the page works."""

import base64

import chromium
import jax
import jax.numpy as jnp
import node
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.generation import generate
from jaxtext.interop.html import packed
from jaxtext.text import Vocabulary

needs_node = pytest.mark.skipif(node.PROGRAM is None, reason="without Node.js")
needs_chromium = pytest.mark.skipif(
    chromium.PROGRAM is None, reason="without chromium or google-chrome"
)
PRECISIONS = "float32", "float16", "int8"
SYMBOLS = 11
MODELS = {
    "one-hot rows": jt.LanguageModel(jt.lstm(6), SYMBOLS),
    "every cell": jt.LanguageModel(
        jt.stack(
            *(jt.rnn(5), jt.gru(5), jt.residual(jt.gru(5, reset_after=False))),
            *(jt.coupled_lstm(5), jt.peephole_lstm(6), jt.projected_lstm(8, 3)),
            *(jt.dropout(0.5), jt.minimal_gated_unit(5), jt.min_gru(6), jt.min_lstm(7)),
            *(jt.para_gru(6), jt.para_lstm(5)),
        ),
        SYMBOLS,
        embedding=3,
    ),
    "layer norm": jt.LanguageModel(
        jt.stack(
            *(jt.variational_dropout(0.5), jt.layer_norm_lstm(8), jt.dropout(0.5)),
            *(jt.residual(jt.layer_norm_gru(8)), jt.residual(jt.layer_norm_rnn(8))),
        ),
        SYMBOLS,
        tied=True,
    ),
    "layer norm of one-hot rows": jt.LanguageModel(jt.layer_norm_gru(6), SYMBOLS),
    "zoneout": jt.LanguageModel(
        jt.stack(
            jt.zoneout(
                jt.recurrent_dropout(jt.lstm(6), 0.5), jt.LSTMState(c=0.5, h=0.1)
            ),
            jt.residual(jt.zoneout(jt.lstm(6), 0.3)),
            *(jt.zoneout(jt.gru(5), 0.3), jt.zoneout(jt.min_lstm(4), 0.3)),
            jt.zoneout(jt.para_lstm(4), 0.3),
        ),
        SYMBOLS,
    ),
    "heads": jt.LanguageModel(
        jt.stack(
            *(jt.lstm(6, heads=3), jt.gru(4, heads=2, reset_after=False)),
            *(jt.residual(jt.gru(4, heads=2)), jt.rnn(6, heads=2, use_bias=False)),
        ),
        SYMBOLS,
    ),
    "no biases": jt.LanguageModel(
        jt.stack(jt.gru(5, use_bias=False), jt.rnn(4, use_bias=False)), SYMBOLS
    ),
    "frequent": jt.LanguageModel(jt.rnn(6), SYMBOLS, embedding=4, frequent=(3, 0, 9)),
    "frequent, tied": jt.LanguageModel(
        jt.rnn(6), SYMBOLS, tied=True, frequent=(3, 0, 9)
    ),
}


def drawn(model, spread=0.3):
    """Parameters of which none is where it starts."""
    start = model.init(jax.random.key(0), None, jnp.zeros((1, 1), int))["params"]
    leaves, tree = jax.tree.flatten(start)
    rng = np.random.default_rng(1)
    moved = [x + spread * rng.normal(size=x.shape).astype("f") for x in leaves]
    return jax.tree.unflatten(tree, map(np.asarray, moved))


def in_node(model, params, precision, ids):
    about, weights = packed(model, params, precision)
    program = f"""{node.runtime()}
    const model = new LanguageModel(told.about, fromBase64(told.weights));
    told.ids.map((id) => Array.from(model.step(id)))"""
    weights = base64.b64encode(weights).decode()
    return run_in_node(program, about=about, weights=weights, ids=list(ids))


def run_in_node(program, **told):
    return node.run(program, told)


@needs_node
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_the_model(name):
    model, ids = MODELS[name], [1, 4, 2, 2, 0, 9, 10, 3, 1, 5]
    params = drawn(model)
    for precision in PRECISIONS:
        rounded = jt.interop.round_weights(params, precision)
        _, expected = model.apply({"params": rounded}, None, jnp.array([ids]))
        found = in_node(model, params, precision, ids)
        np.testing.assert_allclose(found, expected[0], 1e-5, 1e-5)


def test_rounding_is_to_the_nearest():
    rng = np.random.default_rng(0)
    params = {
        "kernel": rng.normal(size=(30, 20)).astype("f"),
        "embedding": rng.normal(size=(30, 20)).astype("f"),
        "bias": rng.normal(size=20).astype("f"),
    }
    params["kernel"][:, 3] = 0
    for name, axis in (("kernel", 0), ("embedding", 1)):
        steps = np.abs(params[name]).max(axis, keepdims=True) / 127
        found = jt.interop.round_weights(params, "int8")[name]
        assert (np.abs(found - params[name]) <= steps / 2 * (1 + 1e-5)).all()
        assert len(np.unique(found)) > 255  # a scale for each row
    assert (jt.interop.round_weights(params, "int8")["bias"] == params["bias"]).all()
    heads = jax.tree.map(lambda x: np.stack([x, 3 * x]), params)  # each has its scales
    for name, pair in jt.interop.round_weights(heads, "int8").items():
        one = jt.interop.round_weights({name: params[name]}, "int8")[name]
        np.testing.assert_allclose(pair, np.stack([one, 3 * one]), rtol=1e-6)
    for name, array in jt.interop.round_weights(params, "float16").items():
        assert (array == params[name].astype("float16")).all()
    for name, array in jt.interop.round_weights(params, "float32").items():
        assert (array == params[name]).all()


@needs_node
def test_bytes_are_decoded_as_they_come():
    rng = np.random.default_rng(0)
    ids = [
        *"é€😀\ufeff".encode(),
        *rng.integers(256, size=3000).tolist(),
        65,
        65,
        65,
        65,
    ]
    program = f"""{node.runtime()}
    const vocabulary = new Vocabulary(told.vocabulary);
    const decode = vocabulary.decoder();
    [told.ids.map(decode), vocabulary.encode(told.text)]"""
    vocabulary, text = Vocabulary("bytes"), "naïve 😀"
    told = {"vocabulary": vocabulary.to_json(), "ids": ids, "text": text}
    pieces, encoded = run_in_node(program, **told)
    assert pieces[:5] == ["", "é", "", "", "€"]
    assert "".join(pieces) == vocabulary.decode(ids)
    assert encoded == vocabulary.encode(text).tolist()


@needs_node
def test_characters_are_code_points():
    characters = "".join(sorted("ab\n<é😀\U0001f469"))
    vocabulary, text = Vocabulary("chars", characters), "a😀\U0001f469\nb"
    program = f"""{node.runtime()}
    const vocabulary = new Vocabulary(told.vocabulary);
    const ids = vocabulary.encode(told.text);
    [ids, ids.map(vocabulary.decoder()).join(""), vocabulary.unknown("xa😀xу")]"""
    told = {"vocabulary": vocabulary.to_json(), "text": text}
    ids, decoded, unknown = run_in_node(program, **told)
    assert ids == vocabulary.encode(text).tolist()
    assert decoded == text
    assert unknown == ["x", "у"]


@needs_node
def test_symbols_are_drawn_by_their_probabilities():
    logits, temperature, n = np.array([0.5, 2.0, -1.0, 2.0]), 0.7, 10_000
    program = f"""{node.runtime()}
    const logits = Float32Array.from(told.logits);
    const counts = logits.map(() => 0);
    for (let k = 0; k < told.n; k++) {{
      counts[draw(logits, told.temperature, () => (k + 0.5) / told.n)]++;
    }}
    [Array.from(counts), draw(logits, 0), draw(logits, 1e6, () => 1 - 2 ** -53)]"""
    told = {"logits": logits.tolist(), "temperature": temperature, "n": n}
    counts, cold, last = run_in_node(program, **told)
    expected = np.asarray(jax.nn.softmax(logits / temperature)) * n
    np.testing.assert_allclose(counts, expected, atol=1)
    assert (cold, last) == (1, 3)


CHARACTERS = Vocabulary("chars", "".join(sorted("\n </script>{&é😀\"'}")))
TEXT = "aé😀\n"


def of_characters(cell):
    layers = jt.stack(cell(24), jt.residual(cell(24)))
    model = jt.LanguageModel(layers, len(CHARACTERS), embedding=24)
    return model, drawn(model, 0.5), CHARACTERS


def of_bytes():
    """A model that writes `TEXT` again and again."""
    model = jt.LanguageModel(jt.rnn(256), 256)
    after = np.eye(256, dtype="f")
    ids = np.frombuffer(TEXT.encode(), np.uint8)
    after[ids] = after[np.roll(ids, -1)]
    own = {"kernel": np.eye(256), "recurrent_kernel": np.zeros((256, 256))}
    recurrent = {**own, "bias": np.zeros(256)}
    output = {"kernel": after, "bias": np.zeros(256)}
    params = {"recurrent": recurrent, "output": output}
    return model, jax.tree.map(np.float32, params), Vocabulary("bytes")


MADE = {
    "lstm": lambda: of_characters(jt.layer_norm_lstm),
    "gru": lambda: of_characters(jt.layer_norm_gru),
    "bytes": of_bytes,
}


@pytest.fixture(scope="module")
def page():
    with chromium.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages, and what their models write at temperature 0."""
    found = {}
    for name, made in MADE.items():
        model, params, vocabulary = made()
        path = tmp_path_factory.mktemp("pages") / f"{name}.html"
        page = jt.interop.to_html(
            model,
            params,
            vocabulary,
            precision="float32",
            title=f"<script>{{{{weights}}}} {name}",
            details={"made": "</script>"},
        )
        path.write_text(page, "utf-8")
        ids = vocabulary.encode(PROMPT)[None]
        pieces = generate(
            model, params, ids, 600, key=jax.random.key(0), temperature=0.0
        )
        ids = np.concatenate(list(pieces), axis=1)[0]
        # Of a character that is not complete yet, nothing is shown.
        found[name] = path.as_uri(), [vocabulary.decoder()(ids[:n]) for n in (500, 600)]
    return found


PROMPT = "</script>é😀"


def set_temperature(page, value):
    page.evaluate(
        "(() => { const slider = document.getElementById('temperature');"
        f"slider.value = {value}; slider.dispatchEvent(new Event('input')); }})()"
    )
    shown = page.evaluate("document.getElementById('shown-temperature').value")
    assert shown == f"{value:.2f}"


def start(page, prompt, length):
    page.type("#prompt", prompt)
    page.type("#length", str(length))
    page.click("#write")


def text(page):
    """What was written, once it is."""
    page.wait("document.getElementById('write').disabled", False)
    return page.evaluate("document.getElementById('written').textContent")


@needs_chromium
@pytest.mark.parametrize("name", MADE)
def test_the_page_writes_what_the_model_does(page, pages, name):
    url, (of_500, of_600) = pages[name]
    page.open(url)
    set_temperature(page, 0)
    start(page, PROMPT, 500)
    assert text(page) == of_500
    assert len(set(of_500)) > 2
    page.type("#length", "100")
    page.click("#continue")
    assert text(page) == of_600
    assert page.evaluate("document.getElementById('given').textContent") == PROMPT
    assert page.evaluate("document.title") == f"<script>{{{{weights}}}} {name}"
    assert page.evaluate("document.querySelector('dd').textContent") == "</script>"
    assert "100 " in page.evaluate("document.getElementById('status').textContent")


@needs_chromium
def test_the_page_stops_when_it_is_told_to(page, pages):
    page.open(pages["lstm"][0])
    start(page, "", 1_000_000)
    page.wait("document.getElementById('written').textContent.length > 100")
    page.click("#stop")
    assert 100 < len(text(page)) < 1_000_000
    assert page.evaluate("document.getElementById('stop').disabled")


@needs_chromium
def test_the_page_says_what_it_cannot_read(page, pages):
    page.open(pages["lstm"][0])
    start(page, "éx", 10)
    said = page.evaluate("document.getElementById('problem').textContent")
    assert "has never seen “x”" in said
    assert text(page) == ""
    start(page, "é", 10)
    assert len(text(page)) == 10
    assert not page.evaluate("document.getElementById('problem').offsetHeight")
    start(page, "é", "0")  # which the field refuses
    assert len(text(page)) == 10


@needs_chromium
def test_the_page_needs_nothing_else(page, pages):
    page.events.clear()
    url = pages["bytes"][0]
    page.open(url)
    start(page, "", 10)
    text(page)
    assert page.requested() == [url]
    assert page.thrown() == []
    blocked = "fetch('https://example.com').then(() => 'sent', () => 'blocked')"
    assert page.evaluate(blocked) == "blocked"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (jt.mogrifier(jt.lstm(4)), "got mogrifier"),
        (jt.residual(jt.dropout(0.5)), "got residual"),
        (jt.dropout(0.5), "got dropout alone"),
        (jt.rnn(4, activation=jax.nn.relu), "with tanh"),
        (jt.with_step(jt.gru(4), lambda p, s, x, noise=None: (s, s)), "of your own"),
    ],
    ids=["mogrifier", "residual", "dropout", "relu", "with_step"],
)
def test_what_the_page_cannot_run_is_refused(cell, said):
    model, of = jt.LanguageModel(cell, 256, embedding=4), Vocabulary("bytes")
    with pytest.raises(InputError, match=said):
        jt.interop.to_html(model, {"recurrent": {"bias": 0.0}}, of)


def test_other_bad_input_is_refused():
    model, of = MODELS["one-hot rows"], Vocabulary("chars", "abcdefghijk")
    params = drawn(model)
    with pytest.raises(InputError, match="expected one of 11 symbols"):
        jt.interop.to_html(model, params, Vocabulary("bytes"))
    with pytest.raises(InputError, match="expected one of float32, float16, int8"):
        jt.interop.to_html(model, params, of, precision="int4")
    params["output"]["bias"] = np.full(SYMBOLS, 1e5, "f")
    with pytest.raises(InputError, match="at most 65504 in float16, got 100000"):
        jt.interop.to_html(model, params, of)
    params["output"]["bias"] = np.full(SYMBOLS, np.nan, "f")
    with pytest.raises(InputError, match="finite numbers"):
        jt.interop.to_html(model, params, of, precision="int8")
