"""Which characters end up in which batch."""

import os

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
    [Streams(np.arange(997), 3, 7), Windows(np.arange(997), 3, 7, 2)],
    ids=["streams", "windows"],
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
    [Streams(np.arange(997), 6, 7), Windows(np.arange(997), 6, 7, 2)],
    ids=["streams", "windows"],
)
def test_rows_are_those_of_the_whole_batch(source):
    for k in (0, 1, source.batches_per_epoch - 1, source.batches_per_epoch):
        whole = source.batch(5, k)
        for rows in (slice(0, 3), slice(3, 6), slice(4, 5), slice(0, 0), None):
            for part, all_rows in zip(source.batch(5, k, rows), whole, strict=True):
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
        for left, right in zip(found, expected, strict=True):
            assert type(left) is np.ndarray
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        assert make(train).characters_per_batch == found.inputs.size == 10


def test_streams_need_one_window_more_than_there_are_streams():
    Streams(np.arange(20), 3, 5)
    with pytest.raises(InputError, match="need a text of 20, got 19"):
        Streams(np.arange(19), 3, 5)


def test_windows_need_a_character_to_predict():
    Windows(np.arange(6), 1, 5, 1)
    with pytest.raises(InputError, match="text of 6, got 5"):
        Windows(np.arange(5), 1, 5, 1)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Streams(np.arange(9), 0, 1), "batch_size"),
        (lambda: Streams(np.arange(9), 1, 0), "seq_len"),
        (lambda: Windows(np.arange(9), -1, 1, 1), "batch_size"),
        (lambda: Windows(np.arange(9), 1, 0, 1), "seq_len"),
        (lambda: Windows(np.arange(9), 1, 1, 0), "stride"),
        (lambda: fit(9, 0, 1), "batch_size"),
        (lambda: fit(9, 1, 0), "seq_len"),
        (lambda: fit(9, 1, 1, 0), "multiple"),
    ],
)
def test_sizes_below_one_are_rejected(make, named):
    with pytest.raises(InputError, match=f"expected {named} of at least 1"):
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
    ],
)
def test_fit_lowers_the_batch_first_and_then_the_window(wished, got):
    assert fit(*wished) == got
    Streams(np.arange(wished[0]), *got)


def test_fit_reports_what_cannot_be_lowered():
    with pytest.raises(InputError, match="at least 9 characters, got 8"):
        fit(8, 8, 100, 8)
    with pytest.raises(InputError, match="multiple of 8, got 12"):
        fit(10_000, 12, 100, 8)


@pytest.mark.parametrize("length", [1_115_394, 10, 11, 4_361_483])
def test_split_at_a_tenth_is_where_nine_tenths_end(length):
    train, validation = split(np.zeros(length, np.uint8), 0.1)
    assert len(train) == int(0.9 * length)
    assert len(train) + len(validation) == length


@given(length=st.integers(1, 1000), fraction=st.floats(0, 0.99))
@example(length=1, fraction=0.5)  # nothing would be left
@settings(max_examples=50, deadline=None)
def test_training_and_validation_do_not_overlap(length, fraction):
    ids = np.arange(length)
    if int((1 - fraction) * length) < 1:
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
    with pytest.raises(InputError, match="validation fraction"):
        split(np.arange(5), fraction)
