"""A model that begins anew where it reads the end of a document."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import DynamicRule, evaluate_dynamic, surprisals

END = 5
CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}
LENGTHS = [4, 1, 7, 3, 1, 9]


def documents(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, END, length) for length in LENGTHS]


def joined(parts):
    """All of them, with an end before, between and after them."""
    return np.concatenate([[END], *([*part, END] for part in parts)])


def made(cell=None, **options):
    cell = cell or jt.lstm(8)
    model = jt.LanguageModel(cell, END + 1, end=END, **options)
    params = model.init(jax.random.key(0), None, [[0]])["params"]
    return model, jax.tree.map(lambda x: 3 * x, params)  # so that states differ


@pytest.fixture(scope="module")
def one():
    return made()


@pytest.mark.parametrize(
    ("cell", "backend"),
    [("rnn", "scan"), ("lstm", "fused"), ("lstm", "scan"), ("gru", "fused")],
)
def test_each_document_is_predicted_as_if_it_were_alone(cell, backend):
    model, params = made(jt.stack(CELLS[cell](8), CELLS[cell](8)), backend=backend)
    parts = documents()
    together = surprisals(model, params, joined(parts))
    plain = model.clone(end=None)
    alone = [surprisals(plain, params, joined([part])) for part in parts]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    # Otherwise it would have been told apart.
    carried = surprisals(plain, params, joined(parts))
    assert np.abs(carried - together).max() > 0.01


def test_a_step_is_what_reading_is(one):
    model, params = one
    ids = jnp.asarray(joined(documents()))
    _, logits = model.apply({"params": params}, None, ids[None])
    state = model.initial_state((1,))
    for t, symbol in enumerate(ids):
        state, found = model.apply(
            {"params": params}, state, symbol[None], method="step"
        )
        np.testing.assert_allclose(found[0], logits[0, t], atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_step_takes_the_states_that_it_takes_without_an_end(cell):
    model, params = made(CELLS[cell](8))

    def step(state):
        return model.apply({"params": params}, state, jnp.array([2]), method="step")[1]

    start = model.initial_state((1,))
    as_lists = jax.tree.map(lambda x: x.tolist(), start)
    for state in None, as_lists:
        np.testing.assert_array_equal(step(state), step(start))
    with pytest.raises(InputError, match="state"):
        step((start, start, start))


def test_a_loop_of_ones_own_gets_it_by_resets(one):
    """The batches say where documents begin, for models that do not know the end."""
    model, params = one
    streams = jt.text.Streams(jt.text.Documents.of(joined(documents()), END), 2, 4)
    batch = streams.batch(seed=0, k=1)
    carry = jax.tree.map(lambda x: x + 0.5, model.initial_state((2,)))
    of = {"params": params}, carry, batch.inputs
    _, expected = model.apply(*of)
    _, found = model.clone(end=None).apply(*of, resets=batch.resets)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("slices", [1, 2])
def test_training_learns_nothing_across_an_end(one, slices):
    """The carry, even if it is not finite, reaches neither loss nor gradient."""
    model, params = one
    inputs = np.array([[END, 1, 2, END, 3], [END, 4, END, 0, 1]])
    batch = jt.text.Batch(inputs, np.roll(inputs, -1, 1), np.zeros((2, 5), bool))
    objective = jt.training.objective.make_objective(model, slices=slices)
    found = []
    for carry in (0.0, np.nan):
        state = jax.tree.map(lambda x, c=carry: x + c, model.initial_state((2,)))
        found.append(objective.gradient(params, state, jax.random.key(0), batch))
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_other_resets_are_kept(one):
    model, params = one
    ids = jnp.array([[END, 1, 2, 3, END, 4]])
    resets = jnp.array([[False, False, True, False, False, False]])
    _, both = model.apply({"params": params}, None, ids, resets=resets)
    _, alone = model.clone(end=None).apply(
        {"params": params}, None, ids, resets=resets | (ids == END)
    )
    np.testing.assert_array_equal(both, alone)
    with pytest.raises(InputError, match="resets: expected shape"):
        model.apply({"params": params}, None, ids, resets=resets[:, :1])


def test_dynamic_evaluation_begins_anew(one):
    """At a rate of 0 nothing is learnt, and the loss is the static one."""
    model, params = one
    ids = joined(documents())
    rule = DynamicRule(segment=5, rate=0.0, decay=0.0)
    ones = jax.tree.map(jnp.ones_like, params)
    found = evaluate_dynamic(model, params, ones, ids, rule)
    assert found == pytest.approx(jt.training.evaluate(model, params, ids), abs=1e-5)


def test_what_is_written_after_an_end_is_written_from_the_beginning(one):
    model, params = one
    key = jax.random.key(3)

    def written(prompt, model=model):
        pieces = jt.generation.generate(model, params, [prompt], 12, key=key)
        return np.concatenate([piece[0] for piece in pieces]).tolist()

    assert written([1, 2, 0, END]) == written([END])
    assert written([END, 1]) == written([3, END, 1])
    plain = model.clone(end=None)
    assert written([END, 1], plain) != written([3, END, 1], plain)


def test_eight_devices_and_one_train_the_same(one):
    model, params = one
    ids = joined(documents() * 40)
    streams = jt.text.Streams(jt.text.Shuffled(jt.text.Documents.of(ids, END)), 8, 6)
    optimizer, found = optax.sgd(0.1), []
    for devices, strategy in ((1, "pmap"), (8, "pmap"), (8, "sharded")):
        parallel = jt.training.data_parallel(
            model, optimizer, 8, jax.devices()[:devices], strategy=strategy
        )
        state = jt.training.create_state(
            model, optimizer, jax.random.key(0), 8, params=params
        )
        state = parallel.place(state)
        for k in range(3):
            state, _ = parallel.step(state, parallel.shard(streams.batch(0, k)))
        found.append(parallel.collect(state).params)
    for other in found[1:]:
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), found[0], other
        )


def test_more_symbols_keep_the_end(one):
    model, params = one
    ids = np.array([0, 1, 2, 3, 4, 7])  # the end stays last
    wider, more = jt.training.extend_vocabulary(
        model, params, ids, 8, key=jax.random.key(0)
    )
    assert wider.end == 7
    text = joined(documents())
    before = surprisals(model, params, text)
    after = surprisals(wider, more, ids[text])
    assert after.shape == before.shape


def test_an_end_that_is_no_symbol_is_refused():
    with pytest.raises(InputError, match="one of 6 symbols, got 6"):
        jt.LanguageModel(jt.gru(4), 6, end=6).init(jax.random.key(0), None, [[0]])


def test_what_cannot_begin_anew_says_so(one):
    pytest.importorskip("constriction")
    vocabulary = jt.text.Vocabulary("chars", "abcde", ends=True)
    with pytest.raises(InputError, match="a file has no ends of documents"):
        jt.compression.compress(*one, vocabulary, b"abc")
    with pytest.raises(InputError, match="the page keeps the state at the end"):
        jt.interop.to_html(*one, vocabulary)


def test_it_is_saved_with_the_model(one, tmp_path):
    pytest.importorskip("safetensors")
    model, params = one
    vocabulary = jt.text.Vocabulary("chars", "abcde", ends=True)
    path = tmp_path / "net.safetensors"
    jt.interop.save_safetensors(path, model, params, vocabulary)
    found = jt.interop.load_safetensors(path)
    assert (found.model.end, found.vocabulary) == (END, vocabulary)
    with pytest.raises(InputError, match="the end of documents that the model has"):
        jt.interop.save_safetensors(path, model.clone(end=None), params, vocabulary)
