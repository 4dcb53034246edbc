"""Documents: each is what `generate` writes after the end of another, up to its end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.generation import Decoding, generate, generate_documents, gumbel

END = 4
MODEL = jt.LanguageModel(jt.gru(8), vocab_size=5, end=END)
KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def params():
    """At random, so that a document ends after a few symbols.

    They are large, so that what was read before makes a difference.
    """
    params = MODEL.init(jax.random.key(2), None, jnp.zeros((1, 1), int))["params"]
    return jax.tree.map(lambda x: 3 * x, params)


def written(params, number, length=40, **how):
    found = generate_documents(MODEL, params, number, length=length, key=KEY, **how)
    return [(document.ids.tolist(), document.ended) for document in found]


def by_generate(params, number, length, beginning=()):
    """The same, each alone and cut at its end here."""
    keys, found = gumbel.keys_of_rows(KEY, number), []
    for key in keys:
        prompt = np.array([[END, *beginning]])
        pieces = generate(MODEL, params, prompt, length, key=key)
        text = np.concatenate(list(pieces), axis=1)[0].tolist()
        ended = END in text
        text = text[: text.index(END)] if ended else text
        found.append(([*beginning, *text], ended))
    return found


def test_each_is_what_is_written_up_to_its_end(params):
    expected = by_generate(params, 7, 6)
    assert {ended for _, ended in expected} == {True, False}
    assert written(params, 7, length=6) == expected
    assert written(params, 3, length=6, beginning=[2, 0]) == (
        by_generate(params, 3, 6, [2, 0])
    )
    # The last symbol that there is room for may be the end.
    lengths = [len(ids) for ids, ended in expected if ended]
    exact = written(params, 7, length=max(lengths) + 1)
    assert (max(lengths), True) in [(len(ids), ended) for ids, ended in exact]


def test_one_does_not_depend_on_the_others(params):
    expected = written(params, 9)
    assert written(params, 4) == expected[:4]
    assert written(params, 9, rows=2) == expected
    assert written(params, 5, first=4, rows=3) == expected[4:]
    assert len({str(x) for x in expected}) > 5


def test_no_rule_keeps_a_document_from_ending(params):
    for rules in ({"only": [0, 1]}, {"forbid": [2, 3, END]}):
        found = written(params, 9, decoding=Decoding(**rules))
        assert all(ended for _, ended in found)
        assert {x for ids, _ in found for x in ids} == {0, 1}


def test_other_rules_are_kept(params):
    whole = written(params, 30)
    stopped = written(params, 30, decoding=Decoding(stop=[[1]]))
    assert stopped == [
        (ids[: ids.index(1) + 1], False) if 1 in ids else (ids, ended)
        for ids, ended in whole
    ]
    assert {ended for _, ended in stopped} == {True, False}
    rules = Decoding(min_length=8)
    long = written(params, 9, length=200, decoding=rules)
    assert min(len(ids) for ids, _ in long) >= 8
    cold = written(params, 3, temperature=0)
    assert cold[0] == cold[1] == cold[2]
    assert written(params, 3, decoding=Decoding(temperature=0)) == cold


def test_nothing_is_written_of_no_length(params):
    assert written(params, 2, length=0) == [([], False), ([], False)]
    assert written(params, 0) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"beginning": [1, END]}, "beginning: expected a row .* without the end 4"),
        ({"beginning": [[1]]}, "beginning: expected a row"),
        ({"beginning": [0.5]}, "beginning: expected integers"),
        ({"number": -1}, "number: expected"),
        ({"rows": 0}, "rows: expected"),
        ({"temperature": 2, "decoding": Decoding()}, "none beside decoding"),
        ({"key": jax.random.split(KEY, 2)}, "expected one key"),
        ({"model": MODEL.clone(end=None)}, "expected one of documents"),
    ],
)
def test_wrong_arguments_are_refused_at_once(change, said, params):
    call = {"model": MODEL, "params": params, "number": 2, "length": 5, "key": KEY}
    with pytest.raises(InputError, match=said):
        generate_documents(**call | change)
