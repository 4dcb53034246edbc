"""Which characters end up in which batch."""

import hashlib
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxtext.errors import InputError
from jaxtext.text import FileArray, Streams, Windows, fit, split

sizes = st.integers(1, 12)


@given(length=st.integers(2, 500), batch_size=sizes, seq_len=sizes, seed=st.integers(0))
@example(length=6, batch_size=1, seq_len=3, seed=0)  # exactly long enough
@settings(max_examples=60, deadline=None)
def test_streams_are_contiguous_and_use_a_character_once(
    length, batch_size, seq_len, seed
):
    batch_size, seq_len = fit(length, batch_size, seq_len)
    streams = Streams(np.arange(length), batch_size, seq_len)
    per_epoch = streams.batches_per_epoch
    for epoch in range(2):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        batches = [streams.batch(seed, k) for k in steps]
        inputs = np.concatenate([batch.inputs for batch in batches], axis=1)
        targets = np.concatenate([batch.targets for batch in batches], axis=1)
        assert inputs.shape == (batch_size, per_epoch * seq_len)
        np.testing.assert_array_equal(targets, inputs + 1)
        # Stream after stream, the inputs are one uncut stretch of the text.
        np.testing.assert_array_equal(np.diff(inputs.ravel()), 1)
        assert inputs.min() >= 0
        assert targets.max() < length
        # Less than a batch and the spread of the starts is left unused.
        assert length - inputs.size <= (batch_size + 1) * seq_len


several = st.lists(sizes, min_size=1, max_size=4).map(tuple)


@given(
    length=st.integers(5, 700), batch_size=sizes, lengths=several, seed=st.integers(0)
)
@example(length=16, batch_size=1, lengths=(3, 5, 2), seed=0)  # lowered
@example(length=15, batch_size=1, lengths=(3, 5, 2), seed=0)  # exactly long enough
@settings(max_examples=60, deadline=None)
def test_streams_of_several_lengths_are_contiguous_and_use_each_once_a_cycle(
    length, batch_size, lengths, seed
):
    batch_size, lengths = fit(length, batch_size, lengths)
    streams = Streams(np.arange(length), batch_size, lengths)
    per_epoch, per_cycle = streams.batches_per_epoch, len(lengths)
    assert streams.lengths == lengths
    for epoch in range(2):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        batches = [streams.batch(seed, k) for k in steps]
        found = [batch.inputs.shape[1] for batch in batches]
        for i in range(0, per_epoch, per_cycle):
            assert sorted(found[i : i + per_cycle]) == sorted(lengths)
        read = [streams.characters(seed, k) for k in steps]
        assert read == [batch.inputs.size for batch in batches]
        assert sum(read) == pytest.approx(per_epoch * streams.characters_per_batch)
        inputs = np.concatenate([batch.inputs for batch in batches], axis=1)
        targets = np.concatenate([batch.targets for batch in batches], axis=1)
        np.testing.assert_array_equal(targets, inputs + 1)
        np.testing.assert_array_equal(np.diff(inputs.ravel()), 1)
        assert inputs.min() >= 0
        assert targets.max() < length
        # Less than a cycle and the spread of the starts is left unused.
        unused = length - inputs.size
        assert max(lengths) <= unused < batch_size * sum(lengths) + max(lengths)
        for i, batch in enumerate(batches):
            assert (batch.resets[:, 0] == (i == 0)).all()
            assert not batch.resets[:, 1:].any()


def test_one_length_is_that_length():
    one, tuple_of_one = Streams(np.arange(997), 3, 7), Streams(np.arange(997), 3, (7,))
    for k in range(100):
        for left, right in zip(one.batch(4, k), tuple_of_one.batch(4, k), strict=True):
            np.testing.assert_array_equal(left, right)


def test_batches_of_one_length_stay_what_they_were():
    """A run that was saved goes on with the batches that it would have had."""
    digest = hashlib.sha256()
    for k in range(20):
        batch = Streams(np.arange(200, dtype=np.uint8), 3, 5).batch(7, k)
        assert batch.lengths is None
        digest.update(b"".join(array.tobytes() for array in batch[:3]))
    assert digest.hexdigest()[:16] == "e473d760a6c2920a"


def test_lengths_are_ordered_anew_in_each_cycle_and_by_each_seed():
    streams = Streams(np.arange(2000), 2, (3, 2, 1))
    assert streams.batches_per_epoch == 3 * 166
    widths = np.array([streams.characters(0, k) // 2 for k in range(600)])
    orders = [tuple(order) for order in widths.reshape(-1, 3).tolist()]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert min(counts) > 15  # of 33 expected
    assert orders[:34] != orders[166:]  # of the next epoch
    others = [streams.characters(1, k) // 2 for k in range(600)]
    assert widths.tolist() != others


def test_epochs_of_several_lengths_start_at_every_place_there_is_to_spare():
    streams = Streams(np.arange(22), 2, (5, 1))
    assert streams.batches_per_epoch == 2  # 12 characters, and 9 places more
    starts = [int(streams.batch(3, 2 * epoch).inputs[0, 0]) for epoch in range(400)]
    assert set(starts) == set(range(10))


def test_resets_come_as_often_as_asked_and_change_nothing_else():
    streams = Streams(np.arange(5000), 20, 5, reset_probability=0.1)
    plain = Streams(np.arange(5000), 20, 5)
    first = []
    for k in range(4 * streams.batches_per_epoch):
        batch, without = streams.batch(2, k), plain.batch(2, k)
        np.testing.assert_array_equal(batch.inputs, without.inputs)
        np.testing.assert_array_equal(batch.targets, without.targets)
        assert not batch.resets[:, 1:].any()
        if k % streams.batches_per_epoch == 0:
            assert batch.resets[:, 0].all()
        else:
            first.append(batch.resets[:, 0])
    first = np.array(first)
    assert first.mean() == pytest.approx(0.1, abs=0.02)
    assert first.mean(0).min() > 0.04  # each stream
    assert len({row.tobytes() for row in first}) > 100  # each batch its own


def test_resets_of_certainty():
    streams = Streams(np.arange(100), 2, 5, reset_probability=1.0)
    assert all(streams.batch(0, k).resets[:, 0].all() for k in range(20))


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_streams_reject_a_probability_out_of_range(probability):
    with pytest.raises(InputError, match="reset_probability: expected at least 0"):
        Streams(np.arange(100), 2, 5, probability)


def test_streams_reset_only_where_an_epoch_begins():
    streams = Streams(np.arange(100), 2, 5)
    assert streams.batches_per_epoch == 9
    for k in range(20):
        expected = np.zeros((2, 5), bool)
        expected[:, 0] = k in (0, 9, 18)
        np.testing.assert_array_equal(streams.batch(0, k).resets, expected)


def test_stream_epochs_start_at_every_place_the_text_has_to_spare():
    streams = Streams(np.arange(33), 2, 5)
    assert streams.batches_per_epoch == 2  # 20 characters, and 12 places more
    starts = [int(streams.batch(3, 2 * epoch).inputs[0, 0]) for epoch in range(400)]
    assert set(starts) == set(range(13))


@pytest.mark.parametrize(
    "source",
    [
        Streams(np.arange(997), 3, 7),
        Streams(np.arange(997), 3, (7, 3, 3), 0.3),
        Windows(np.arange(997), 3, 7, 2),
    ],
    ids=["streams", "several lengths", "windows"],
)
def test_a_batch_depends_on_seed_and_step_alone(source):
    steps = range(0, 3 * source.batches_per_epoch, 5)
    forwards = [source.batch(1, k) for k in steps]
    backwards = [source.batch(1, k) for k in reversed(steps)][::-1]
    for first, second in zip(forwards, backwards, strict=True):
        for left, right in zip(first, second, strict=True):
            np.testing.assert_array_equal(left, right)
    assert not np.array_equal(source.batch(2, 0).inputs, forwards[0].inputs)


def test_windows_epoch_holds_every_window_once_and_fills_the_last_batch():
    windows = Windows(np.arange(50), batch_size=4, seq_len=10, stride=3)
    # The last window may start at 39, to leave a 49 to predict.
    starts = list(range(0, 40, 3))
    assert windows.window_count == len(starts) == 14
    assert windows.batches_per_epoch == 4
    batches = [windows.batch(0, k) for k in range(4)]
    first = np.concatenate([batch.inputs[:, 0] for batch in batches])
    assert sorted(first[:14]) == starts
    np.testing.assert_array_equal(first[14:], first[:2])
    for batch in batches:
        np.testing.assert_array_equal(
            batch.inputs, batch.inputs[:, :1] + np.arange(10)[None]
        )
        np.testing.assert_array_equal(batch.targets, batch.inputs[:, -1:] + 1)
        assert batch.resets[:, 0].all()
        assert not batch.resets[:, 1:].any()


def test_windows_epochs_are_ordered_differently():
    windows = Windows(np.arange(100), batch_size=30, seq_len=10, stride=3)
    first, second = windows.batch(0, 0).inputs[:, 0], windows.batch(0, 1).inputs[:, 0]
    assert windows.batches_per_epoch == 1
    assert sorted(first) == sorted(second)
    assert not np.array_equal(first, second)


def test_windows_fill_a_batch_larger_than_the_text_by_repeating():
    windows = Windows(np.arange(7), batch_size=5, seq_len=5, stride=1)
    starts = windows.batch(0, 0).inputs[:, 0].tolist()
    assert sorted(set(starts)) == [0, 1]
    assert starts[2:4] == starts[:2]


@pytest.mark.parametrize(
    "source",
    [
        Streams(np.arange(997), 6, 7),
        Streams(np.arange(997), 6, (7, 3, 3), 0.3),
        Windows(np.arange(997), 6, 7, 2),
    ],
    ids=["streams", "several lengths", "windows"],
)
def test_rows_are_those_of_the_whole_batch(source):
    for k in (0, 1, source.batches_per_epoch - 1, source.batches_per_epoch):
        whole = source.batch(5, k)
        for rows in (slice(0, 3), slice(3, 6), slice(4, 5), slice(0, 0), None):
            found = source.batch(5, k, rows)
            for part, all_rows in zip(found[:3], whole[:3], strict=True):
                np.testing.assert_array_equal(part, all_rows[rows or slice(None)])
                assert part.dtype == all_rows.dtype


def test_no_more_is_read_than_the_rows(tmp_path, monkeypatch):
    (tmp_path / "ids").write_bytes(bytes(1_000_000))
    ids = FileArray(tmp_path / "ids")
    read, pread = [], os.pread

    def counted(descriptor, size, offset):
        read.append(size)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    for source in (Streams(ids, 8, 10), Windows(ids, 8, 10, 3)):
        source.batch(0, 0, slice(2, 4))
        assert read == [11, 11]
        read.clear()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_batches_from_a_file_are_those_from_memory(tmp_path, dtype):
    (tmp_path / "ids").write_bytes(np.arange(100, dtype=dtype).tobytes())
    ids = FileArray(tmp_path / "ids").view(np.dtype(dtype))
    train, validation = split(ids, 0.2)
    assert (len(train), len(validation)) == (80, 20)
    for make in (lambda ids: Streams(ids, 2, 5), lambda ids: Windows(ids, 2, 5, 3)):
        found = make(train).batch(0, 1)
        expected = make(np.arange(80, dtype=dtype)).batch(0, 1)
        for left, right in zip(found[:3], expected[:3], strict=True):
            assert type(left) is np.ndarray
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        assert make(train).characters_per_batch == found.inputs.size == 10


def test_streams_need_one_window_more_than_there_are_streams():
    Streams(np.arange(20), 3, 5)
    with pytest.raises(InputError, match="need a text of 20, got 19"):
        Streams(np.arange(19), 3, 5)
    Streams(np.arange(26), 3, (5, 2))
    with pytest.raises(InputError, match=r"of \(5, 2\) .* need a text of 26, got 25"):
        Streams(np.arange(25), 3, (5, 2))
    with pytest.raises(InputError, match="seq_len: expected at least one"):
        Streams(np.arange(25), 3, ())


def test_windows_need_a_character_to_predict():
    Windows(np.arange(6), 1, 5, 1)
    with pytest.raises(InputError, match="text of 6, got 5"):
        Windows(np.arange(5), 1, 5, 1)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Streams(np.arange(9), 0, 1), "batch_size"),
        (lambda: Streams(np.arange(9), 1, 0), "seq_len"),
        (lambda: Streams(np.arange(9), 1, (2, 0)), "seq_len"),
        (lambda: Windows(np.arange(9), -1, 1, 1), "batch_size"),
        (lambda: Windows(np.arange(9), 1, 0, 1), "seq_len"),
        (lambda: Windows(np.arange(9), 1, 1, 0), "stride"),
        (lambda: fit(9, 0, 1), "batch_size"),
        (lambda: fit(9, 1, 0), "seq_len"),
        (lambda: fit(9, 1, (1, 0)), "seq_len"),
        (lambda: fit(9, 1, ()), "seq_len"),
        (lambda: fit(9, 1, 1, 0), "multiple"),
    ],
)
def test_sizes_below_one_are_rejected(make, named):
    with pytest.raises(InputError, match=f"{named}: expected "):
        make()


@pytest.mark.parametrize(
    ("wished", "got"),
    [
        ((99_999, 64, 100), (64, 100)),
        ((6500, 64, 100), (64, 100)),  # just fits
        ((6499, 64, 100), (63, 100)),
        ((6499, 64, 100, 8), (56, 100)),
        ((899, 64, 100, 8), (8, 99)),
        ((9, 8, 100, 8), (8, 1)),
        ((999, 8, (64, 64, 32)), (5, (64, 64, 32))),
        ((864, 5, (64, 64, 32)), (5, (64, 64, 32))),  # just fits
        ((863, 5, (64, 64, 32)), (4, (64, 64, 32))),
        ((223, 5, (64, 64, 32)), (1, (63, 63, 32))),
        ((9, 2, (5, 1, 9), 2), (2, (1, 1, 1))),
        ((30, 2, (5, 1, 9), 2), (2, (5, 1, 6))),
    ],
)
def test_fit_lowers_the_batch_first_and_then_the_window(wished, got):
    assert fit(*wished) == got
    Streams(np.arange(wished[0]), *got)


def test_fit_reports_what_cannot_be_lowered():
    with pytest.raises(InputError, match="at least 9 characters, got 8"):
        fit(8, 8, 100, 8)
    with pytest.raises(InputError, match="at least 17 characters, got 16"):
        fit(16, 8, (100, 50), 8)
    with pytest.raises(InputError, match="multiple of 8, got 12"):
        fit(10_000, 12, 100, 8)


@pytest.mark.parametrize("length", [1_115_394, 10, 11, 4_361_483])
def test_split_at_a_tenth_is_where_nine_tenths_end(length):
    train, validation = split(np.zeros(length, np.uint8), 0.1)
    assert len(train) == int(0.9 * length)
    assert len(train) + len(validation) == length


@pytest.mark.parametrize("tenths", range(10))
@pytest.mark.parametrize("length", [10, 1000, 10**7])
def test_a_share_in_tenths_is_exact(length, tenths):
    train, validation = split(range(length), tenths / 10)
    assert len(validation) == length // 10 * tenths
    assert len(train) == length - len(validation)


@given(length=st.integers(1, 1000), fraction=st.floats(0, 0.99))
@example(length=1, fraction=0.5)  # nothing would be left
@settings(max_examples=50, deadline=None)
def test_training_and_validation_do_not_overlap(length, fraction):
    ids = np.arange(length)
    if (1 - Fraction(str(fraction))) * length < 1:
        with pytest.raises(InputError, match="nothing"):
            split(ids, fraction)
        return
    train, validation = split(ids, fraction)
    np.testing.assert_array_equal(np.concatenate([train, validation]), ids)


def test_no_validation():
    train, validation = split(np.arange(5), 0)
    assert (len(train), len(validation)) == (5, 0)


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_split_rejects_a_fraction_out_of_range(fraction):
    with pytest.raises(InputError, match="val_fraction"):
        split(np.arange(5), fraction)
