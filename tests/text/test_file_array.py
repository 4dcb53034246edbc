"""Arrays that stay in their file: the same as NumPy's, and what happens to the file."""

import copy
import errno
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jaxtext.errors import InputError
from jaxtext.text import FileArray, file_array
from jaxtext.text.file_array import windows

NUMBERS = np.arange(5000, dtype=np.uint16)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "numbers"
    path.write_bytes(NUMBERS.tobytes())
    return path


@pytest.fixture
def array(path):
    return FileArray(path).view(NUMBERS.dtype)


@pytest.mark.parametrize(
    "places",
    [
        slice(None),
        slice(3, 7),
        slice(-5, None),
        slice(None, -5),
        slice(7, 3),
        slice(4990, 9999),
        slice(0, 0),
        slice(2, 9, 1),
    ],
)
def test_slices_are_those_of_numpy(array, places):
    for part, expected in (
        (array[places], NUMBERS[places]),
        (array[10:-10][places], NUMBERS[10:-10][places]),
    ):
        assert isinstance(part, FileArray)
        assert len(part) == len(expected)
        assert part.shape == expected.shape
        found = np.asarray(part)
        assert found.dtype == part.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("places", [3, slice(0, 9, 2), [1, 2], (slice(2), 1), ...])
def test_what_would_not_be_a_stretch_of_the_file_is_refused(array, places):
    with pytest.raises(TypeError, match="slice without a step"):
        array[places]


def test_a_view_is_of_the_same_bytes(path):
    octets = FileArray(path)
    np.testing.assert_array_equal(octets, NUMBERS.view(np.uint8))
    np.testing.assert_array_equal(octets[2:-2].view(NUMBERS.dtype), NUMBERS[1:-1])
    with pytest.raises(ValueError, match="not a whole number"):
        octets[1:].view(NUMBERS.dtype)


def test_conversion_follows_numpy(array):
    assert np.asarray(array, np.int64).dtype == np.int64
    writeable = np.array(array)
    writeable[0] = 7
    assert np.asarray(array)[0] == 0
    with pytest.raises(ValueError, match="copy"):
        array.__array__(copy=False)


@pytest.mark.parametrize("spread", [10, 5000])  # one call to the system, and several
@pytest.mark.parametrize("length", [1, 33])
def test_windows_are_those_of_numpy(array, monkeypatch, spread, length):
    monkeypatch.setattr(file_array, "_WORTH_A_CALL", 256)
    starts = np.random.default_rng(0).integers(0, spread - min(length, 9), 16)
    starts = np.minimum(starts + 3, 5000 - 10 - length)
    calls, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda *call: calls.append(call) or pread(*call))
    found = windows(array[10:], starts, length)
    expected = windows(NUMBERS[10:], starts, length)
    assert len(calls) == (1 if spread == 10 else 16)
    assert found.dtype == expected.dtype
    assert found.flags.writeable
    np.testing.assert_array_equal(found, expected)


def test_no_windows(array):
    assert windows(array, np.array([], int), 3).shape == (0, 3)


@pytest.mark.parametrize("start", [-1, 4998])
def test_windows_do_not_leave_the_array(array, start):
    with pytest.raises(IndexError, match="not all in"):
        windows(array, np.array([5, start]), 3)
    with pytest.raises(IndexError, match="not all in"):
        windows(array[5:-5], np.array([5, start]), 3)


def test_large_pieces_are_read_in_several_calls(array, monkeypatch):
    monkeypatch.setattr(file_array, "_MOST", 999)
    np.testing.assert_array_equal(array, NUMBERS)


def far_apart(array):
    return windows(array, np.array([0, 4990]), 3)


@pytest.mark.parametrize("read", [np.asarray, far_apart])
def test_a_file_made_shorter_meanwhile_is_named(path, array, monkeypatch, read):
    monkeypatch.setattr(file_array, "_WORTH_A_CALL", 1)
    os.truncate(path, 9000)
    with pytest.raises(InputError, match=r"numbers at byte .*truncated.*disk"):
        read(array)
    np.testing.assert_array_equal(array[:4500], NUMBERS[:4500])


@pytest.mark.parametrize("read", [np.asarray, far_apart])
def test_a_failing_disk_is_named(array, monkeypatch, read):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(InputError, match=r"numbers at byte 0 \(Input/output error\)"):
        read(array)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_that_really_cannot_be_read():
    # Its first page is mapped nowhere, so reading it is EIO; its size is said to be 0.
    memory = FileArray(file_array.Path("/proc/self/mem"))
    with pytest.raises(InputError, match=r"/proc/self/mem at byte 0 \(.*error\)"):
        memory._part(0, 8, np.dtype(np.uint8)).__array__()


def test_another_file_of_the_name_makes_no_difference(path, array):
    path.with_name("other").write_bytes(b"other")
    os.replace(path.with_name("other"), path)
    np.testing.assert_array_equal(array, NUMBERS)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_descriptor_is_left_open(path):
    before = descriptors()
    array = FileArray(path)
    parts = [array[:10], array.view(NUMBERS.dtype)]
    assert descriptors() == before + 1
    del array
    np.testing.assert_array_equal(parts[1], NUMBERS)  # still open for the part
    del parts
    assert descriptors() == before


def test_a_copy_reads_the_same(array):
    for other in (copy.deepcopy(array), pickle.loads(pickle.dumps(array))):
        assert other._file.descriptor != array._file.descriptor
        np.testing.assert_array_equal(other[7:9], NUMBERS[7:9])


def test_threads_share_an_array(array, monkeypatch):
    monkeypatch.setattr(file_array, "_WORTH_A_CALL", 1)

    def read(seed):
        starts = np.random.default_rng(seed).integers(0, 4900, 50)
        return [windows(array, starts, 100) for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        for seed, found in enumerate(pool.map(read, range(32))):
            starts = np.random.default_rng(seed).integers(0, 4900, 50)
            expected = windows(NUMBERS, starts, 100)
            assert all(np.array_equal(one, expected) for one in found)
