"""Documents found, put in an order, and divided, in memory and in a file."""

import tracemalloc

import numpy as np
import pytest

from jaxtext.errors import InputError
from jaxtext.text import (
    Documents,
    FileArray,
    Shuffled,
    Streams,
    Vocabulary,
    division,
    documents,
    draw_documents,
    file_array,
    order,
    split_documents,
)

VOCABULARY = Vocabulary("chars", "abcdefg", ends=True)
END = 7


def make(count, longest, seed=0):
    """Ids of documents with 1 to `longest` characters each."""
    rng = np.random.default_rng(seed)
    parts = [[END]]
    for _ in range(count):
        parts += [rng.integers(0, END, rng.integers(1, longest + 1)), [END]]
    return np.concatenate(parts).astype(np.uint8)


def cut(ids):
    """The documents in ids, by another way: as bytes."""
    return bytes(np.asarray(ids))[1:-1].split(bytes([END]))


@pytest.fixture(params=["memory", "file"])
def held(request, tmp_path, monkeypatch):
    """``held(ids)``: the ids in memory, or in a file that is read in small pieces."""
    if request.param == "memory":
        return lambda ids: ids
    for module in (documents, order, division):
        monkeypatch.setattr(module, "_AT_ONCE", 7)
    monkeypatch.setattr(order, "_EVERY", 3)
    monkeypatch.setattr(file_array, "_WORTH_A_CALL", 8)

    def held(ids):
        (tmp_path / "ids").write_bytes(ids.tobytes())
        return FileArray(tmp_path / "ids")

    return held


SHAPES = [(1, 5), (3, 3), (40, 9), (300, 2), (30, 100)]


@pytest.mark.parametrize(("count", "longest"), SHAPES)
def test_documents_are_found(held, count, longest):
    ids = make(count, longest)
    found, expected = Documents.of(held(ids), END), cut(ids)
    assert len(found) == count
    assert [bytes(x) for x in found] == expected
    lengths = sorted(map(len, expected))
    assert found.lengths() == (lengths[0], lengths[(count + 1) // 2 - 1], lengths[-1])
    assert bytes(found[-1]) == expected[-1]
    with pytest.raises(IndexError):
        found[count]


@pytest.mark.parametrize("ids", [[7, 1], [1, 7], [7], []])
def test_ids_that_are_no_documents_are_refused(ids):
    with pytest.raises(InputError, match="begin and end with 7"):
        Documents.of(np.array(ids, int), END)


@pytest.mark.parametrize(("count", "longest"), SHAPES)
def test_an_epoch_has_each_document_once_in_an_order_of_its_own(held, count, longest):
    ids = make(count, longest)
    text = Shuffled(Documents.of(held(ids), END))

    def whole(seed, epoch):
        return text.epoch(seed, epoch).windows(np.array([0]), len(ids))[0]

    first = whole(1, 2)
    assert sorted(cut(first)) == sorted(cut(ids))
    assert (first[0], first[-1]) == (END, END)
    again = Shuffled(Documents.of(ids, END)).epoch(1, 2)
    assert np.array_equal(again.windows(np.array([0]), len(ids))[0], first)
    if count > 3:
        others = [whole(1, 3), whole(2, 2), ids]
        assert all(cut(first) != cut(other) for other in others)
    # Any part of it is read without the rest.
    for length in {1, 2, 5, len(ids) // 2}:
        starts = np.random.default_rng(0).integers(0, len(ids) - length + 1, 20)
        read = text.epoch(1, 2).windows(starts, length)
        assert np.array_equal(read, first[starts[:, None] + np.arange(length)])


def test_every_order_is_about_as_likely():
    orders = {}
    text = Shuffled(Documents.of([7, 0, 7, 1, 7, 2, 7], END))
    for epoch in range(1200):
        found = bytes(text.epoch(0, epoch).windows(np.array([0]), 7)[0])
        orders[found] = orders.get(found, 0) + 1
    assert len(orders) == 6
    assert min(orders.values()) > 140


def test_a_file_of_an_epoch_disappears_with_it(tmp_path):
    path = tmp_path / "corpora" / "ids"
    path.parent.mkdir()
    path.write_bytes(make(20, 5).tobytes())
    text = Shuffled(Documents.of(FileArray(path), END))
    text.epoch(0, 0)
    text.epoch(0, 1)
    assert [*path.parent.iterdir()] == [path]


def test_streams_of_documents_go_on_and_are_reset(held):
    """Each batch is the next part of its streams, whatever was read before it."""
    ids = make(60, 9)
    text = Shuffled(Documents.of(held(ids), END))
    streams = Streams(text, batch_size=3, seq_len=(8, 5))
    per_epoch = streams.batches_per_epoch
    for epoch in (2, 0):
        whole = text.epoch(4, epoch).windows(np.array([0]), len(ids))[0]
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        batches = [streams.batch(4, k) for k in steps]
        rows = np.concatenate([batch.inputs for batch in batches], axis=1)
        assert bytes(rows.ravel()) in bytes(whole)
        targets = np.concatenate([batch.targets for batch in batches], axis=1)
        assert np.array_equal(targets[:, :-1], rows[:, 1:])
        resets = np.concatenate([batch.resets for batch in batches], axis=1)
        expected = rows == END
        expected[:, 0] = True
        assert np.array_equal(resets, expected)
        part = streams.batch(4, steps[1], rows=slice(1, 3))
        assert np.array_equal(part.inputs, batches[1].inputs[1:])


def test_documents_as_they_are_are_streams_of_their_ids():
    ids = make(60, 9)
    ours = Streams(Documents.of(ids, END), 3, 8).batch(1, 5)
    plain = Streams(ids, 3, 8).batch(1, 5)
    assert np.array_equal(ours.inputs, plain.inputs)
    assert np.array_equal(ours.resets, ours.inputs == END)


def test_the_end_is_cut_off_between_documents(held):
    ids = make(40, 9)
    for val_fraction in (0.05, 0.3, 0.9, 0.99):
        train, validation = split_documents(Documents.of(held(ids), END), val_fraction)
        assert cut(train) + cut(validation) == cut(ids)
        # The cut is in the last document that is trained on, or right behind it.
        exact = (1 - val_fraction) * len(ids)
        assert len(train) - len(cut(train)[-1]) - 2 <= exact <= len(train)
    last = np.array([END, 1, END, 2, 3, 4, 5, 6, END], np.uint8)
    _, validation = split_documents(Documents.of(held(last), END), 0.3)
    assert cut(validation) == [b"\2\3\4\5\6"]  # rather than nothing
    train, validation = split_documents(Documents.of(held(ids), END), 0)
    assert (len(train), len(validation)) == (len(ids), 0)
    _, none = split_documents(Documents.of(held(make(1, 20)), END), 0.5)
    assert len(none) == 0


def drawn(ids, seed=0, vocabulary=VOCABULARY, fraction=0.3):
    found = draw_documents(
        Documents.of(ids, vocabulary.end), vocabulary, fraction, seed
    )
    return [cut(part) if len(part) else [] for part in found]


@pytest.mark.parametrize(("count", "longest"), [(60, 9), (400, 2), (30, 100)])
def test_documents_are_drawn_by_what_they_are(held, count, longest):
    ids = make(count, longest)
    train, validation = drawn(held(ids))
    assert sorted(train + validation) == sorted(cut(ids))
    assert not {*train} & {*validation}  # no duplicate stands on both sides
    assert train == [x for x in cut(ids) if x in {*train}]  # both in their order
    assert validation == [x for x in cut(ids) if x in {*validation}]
    assert 0.1 < len({*validation}) / len({*train, *validation}) < 0.55
    # The order, and what other documents there are, decide nothing.
    mixed = (
        Shuffled(Documents.of(ids, END)).epoch(0, 0).windows(np.array([0]), len(ids))[0]
    )
    assert sorted(drawn(held(mixed))[1]) == sorted(validation)
    half = cut(ids)[: count // 2]
    some = np.frombuffer(b"\7" + b"".join(x + b"\7" for x in half), np.uint8)
    assert drawn(held(some))[1] == [x for x in half if x in {*validation}]
    assert drawn(held(ids), seed=1) != [train, validation]


def test_the_draw_is_by_characters_not_by_ids():
    ids = make(60, 9)
    wider = Vocabulary("chars", "ABabcdefg", ends=True)
    others = np.where(ids == END, wider.end, ids + 2).astype(np.uint8)
    found = draw_documents(Documents.of(others, 9), wider, 0.3, 0)[1]
    expected = draw_documents(Documents.of(ids, END), VOCABULARY, 0.3, 0)[1]
    assert wider.decode(found) == VOCABULARY.decode(expected)


def test_about_the_fraction_is_drawn():
    digits = Vocabulary("chars", "01234567", ends=True)
    ids = np.concatenate([[8], *([[*map(int, f"{n:04o}"), 8] for n in range(8**4)])])
    for fraction in (0.1, 0.5):
        of = Documents.of(ids, 8), digits, fraction
        counts = [len(draw_documents(*of, seed)[1]) // 5 for seed in range(20)]
        mean = np.mean(counts) / 8**4
        assert abs(mean - fraction) < 4 * np.sqrt(fraction / 20 / 8**4)


def test_nothing_to_train_on_is_an_error():
    one = Documents.of([7, 1, 7], END)
    with pytest.raises(InputError, match="none of 1 documents to train on"):
        draw_documents(one, VOCABULARY, 0.999, seed=0)


def test_the_order_and_the_draw_take_no_memory_for_more_documents(
    tmp_path, monkeypatch
):
    """Their arrays are of one piece, and not of all documents."""
    for module in (documents, order, division):
        monkeypatch.setattr(module, "_AT_ONCE", 1 << 12)
    ids = np.full(600_001, END, np.uint8)
    ids[1::2] = np.random.default_rng(0).integers(0, END, 300_000)
    (tmp_path / "ids").write_bytes(ids.tobytes())
    del ids
    tracemalloc.start()
    try:
        found = Documents.of(FileArray(tmp_path / "ids"), END)
        found.lengths()
        batch = Streams(Shuffled(found), 4, 16).batch(0, 100)
        _, validation = draw_documents(found, VOCABULARY, 0.5, 0)
        split_documents(found, 0.5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 300_000
    assert batch.inputs.shape == (4, 16)
    assert len(validation) > 100_000
    # The ends alone are 2.4 MB.
    assert peak < 1_000_000
