"""Texts in buckets: found as on a disk, read once, never half of two versions."""

import bz2
import collections
import gzip
import hashlib
import itertools
import random
import re
import sys

import char_gen
import numpy as np
import object_store
import pytest
from downloads import kept, killed, peaks, read

from jaxtext import buckets
from jaxtext.errors import InputError
from jaxtext.text import bucket, load
from jaxtext.text.sources import resolve

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
PIECE = 10_000  # bytes of a request, in these tests


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(bucket, "CHUNK", PIECE)
    monkeypatch.setattr(buckets, "_PAUSES", (0.001, 0.01))


@pytest.mark.parametrize(
    ("spec", "name", "names"),
    [
        ("b.txt", "b", ["b.txt"]),
        ("*.txt", "a", ["a.txt", "b.txt"]),
        ("**/*.txt", "a", ["a.txt", "b.txt", "sub/c.txt"]),
        ("**", "a", ["a.txt", "b.txt", "sub-x/d", "sub/c.txt", "x.md"]),
        ("sub", "sub", ["sub/c.txt"]),
        ("sub/", "sub", ["sub/c.txt"]),
        ("", "here", ["a.txt", "b.txt", "sub/c.txt", "sub-x/d", "x.md"]),
        ("run", "run", ["run/notes"]),
        ("[ab].txt", "a", ["a.txt", "b.txt"]),
        ("what[1].txt", "what-1", ["what[1].txt"]),
    ],
)
def test_a_prefix_and_a_glob_stand_for_what_they_do_on_a_disk(
    store, folder, tmp_path, spec, name, names
):
    """The same names are read from a disk and from a bucket, in the same order."""
    files = ["b.txt", "a.txt", "sub/c.txt", ".hidden", "sub/.git/config", "x.md"]
    files += ["sub-x/d", "cache/CACHEDIR.TAG", "cache/text"]
    files += ["run/checkpoints/best/5/data", "run/config.json", "run/notes"]
    files += names[-1:] if spec.startswith("what") else []
    here = tmp_path / "here"
    for file in files:
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text(file)
        store.write(f"{folder}/here/{file}", file.encode())
    for place in str(here), store.url(f"{folder}/here"):
        with resolve(f"{place}/{spec}", cache=tmp_path / "cache") as sources:
            assert sources.name == name
            assert [path.read_text() for path in sources.paths] == names


def test_an_object_is_read_once_while_it_stays_as_it_is(store, folder, tmp_path):
    store.write(f"{folder}/a", CONTENT)
    url = store.url(f"{folder}/a")
    assert read(url, tmp_path) == CONTENT
    before = store.requests
    assert read(url, tmp_path) == CONTENT
    assert store.requests - before <= 3  # whether it has changed
    assert kept(tmp_path) == [".text"]
    store.write(f"{folder}/a", CONTENT[::-1])
    assert read(url, tmp_path) == CONTENT[::-1]
    assert kept(tmp_path) == [".text"]


def test_the_same_text_from_a_bucket_and_a_disk_is_the_same(store, folder, tmp_path):
    texts = {f"{n}.txt": f"text {n} é😀\n".encode() * 30 for n in range(3)}
    packed = {"0.txt": gzip.compress, "2.txt": bz2.compress}
    (tmp_path / "texts").mkdir()
    for name, data in texts.items():
        (tmp_path / "texts" / name).write_bytes(data)
        store.write(f"{folder}/texts/{name}", packed.get(name, bytes)(data))
    cache = tmp_path / "cache"
    here = load(tmp_path / "texts", cache=cache)
    calls = []
    there = load(
        store.url(f"{folder}/texts/"),
        cache=cache,
        progress=lambda *call: calls.append(call),
    )
    assert (there.name, there.sha256, there.ids.path) == (
        here.name,
        here.sha256,
        here.ids.path,
    )
    assert np.array_equal(there.ids, here.ids)
    assert all(done <= total for done, total in calls)


def test_a_download_that_is_ended_goes_on_where_it_was(store, folder, tmp_path):
    store.write(f"{folder}/a", CONTENT)
    url, calls = store.url(f"{folder}/a"), []

    def stop(done, total):
        calls.append(done)
        if done >= 3 * PIECE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(url, tmp_path, progress=stop)
    assert kept(tmp_path) == [".part"]
    again = []
    assert read(url, tmp_path, progress=lambda done, _: again.append(done)) == CONTENT
    assert again[0] == calls[-1] == 3 * PIECE


@pytest.mark.parametrize("resumed", [False, True])
def test_an_object_that_changes_while_it_is_read_is_begun_again(
    store, folder, tmp_path, resumed
):
    store.write(f"{folder}/a", CONTENT)

    def change(done, total):
        if done == 3 * PIECE:
            store.write(f"{folder}/a", CONTENT[::-1])
            if resumed:
                raise KeyboardInterrupt

    url = store.url(f"{folder}/a")
    if resumed:
        with pytest.raises(KeyboardInterrupt):
            read(url, tmp_path, progress=change)
        assert read(url, tmp_path) == CONTENT[::-1]
    else:
        assert read(url, tmp_path, progress=change) == CONTENT[::-1]
    assert kept(tmp_path) == [".text"]


def test_an_object_that_keeps_changing_is_told(store, folder, tmp_path):
    store.write(f"{folder}/a", CONTENT)
    count = itertools.count(1)

    def change(done, total):
        store.write(f"{folder}/a", CONTENT[next(count) :])

    with pytest.raises(InputError, match="changes while it is read; try again when"):
        read(store.url(f"{folder}/a"), tmp_path, progress=change)
    assert kept(tmp_path) == []


def test_an_object_that_is_removed_while_it_is_read_is_told(store, folder, tmp_path):
    store.write(f"{folder}/a", CONTENT)

    def remove(done, total):
        if done == 3 * PIECE:
            store.remove(f"{folder}/a")

    with pytest.raises(InputError, match=r"cannot use .*no such bucket or object"):
        read(store.url(f"{folder}/a"), tmp_path, progress=remove)


@pytest.mark.parametrize(
    "fault", ["500", "503", "429", "slow", "refused", "lost", "cut"]
)
def test_faults_that_pass_cost_nothing(store, folder, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(object_store, "SLOW", 0.01)
    store.write(f"{folder}/a", CONTENT)
    count = itertools.count(1)
    store.fault = lambda method, path: fault if next(count) % 4 == 0 else None
    assert read(store.url(f"{folder}/a"), tmp_path) == CONTENT


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("503", "the store did not answer"),
        ("403", r"no permission.*check the credentials"),
    ],
)
def test_faults_that_stay_are_told_in_one_line(store, folder, tmp_path, fault, said):
    store.write(f"{folder}/a", CONTENT)
    url = store.url(f"{folder}/a")
    began = []

    def begin(done, total):
        if done >= 3 * PIECE and not began:
            began.append(done)
            store.fault = lambda method, path: fault

    with pytest.raises(InputError, match=f"cannot use {url} .*{said}") as told:
        read(url, tmp_path, progress=begin)
    assert "\n" not in str(told.value)
    store.fault = lambda method, path: None
    assert read(url, tmp_path) == CONTENT


def test_what_is_wrong_is_told_in_one_line(store, folder, tmp_path):
    scheme = store.scheme
    store.write(f"{folder}/text/.hidden", b"text")
    for url, said in (
        (
            f"{scheme}://no-such-bucket/a",
            r"cannot use .*no-such-bucket.*check the name",
        ),
        (
            f"{scheme}://no-such-bucket/*",
            r"cannot use .*no-such-bucket.*check the name",
        ),
        (store.url(f"{folder}/none"), r"no such bucket or object.*check the name"),
        (store.url(f"{folder}/none/"), r"the directory .*/none/ holds no files"),
        (store.url(f"{folder}/*.txt"), r"no file matches .*\*\.txt"),
        (store.url(f"{folder}/text"), r"holds no files; left out of .*hidden \(1\)"),
    ):
        with pytest.raises(InputError, match=said) as told:
            read(url, tmp_path)
        assert "\n" not in str(told.value)


def test_what_is_wrong_with_a_text_is_said_of_its_url(store, folder, tmp_path):
    store.write(f"{folder}/a.txt", b"text\0" * 50)
    url = store.url(f"{folder}/a.txt")
    with pytest.raises(InputError, match=f"but {url} has a NUL byte at offset 4"):
        load(url, cache=tmp_path)


def test_the_hash_of_the_store_is_checked(store, folder, tmp_path, monkeypatch):
    if store.scheme == "s3":
        pytest.skip("an ETag of S3 need not be a hash of the contents")
    store.write(f"{folder}/a", CONTENT)
    monkeypatch.setattr(
        bucket.BucketFile, "_whole", lambda self, read, begin: CONTENT[begin:][::-1]
    )
    wanted = hashlib.md5(CONTENT).hexdigest()
    with pytest.raises(InputError, match=f"expected contents with md5 {wanted}, got"):
        read(store.url(f"{folder}/a"), tmp_path)
    assert kept(tmp_path) == []


def test_what_is_left_out_is_told(store, folder, tmp_path):
    for name in "a.txt", ".b", "run/checkpoints/best/1/x", "run/checkpoints/best/1/y":
        store.write(f"{folder}/{name}", b"text")
    told = []
    assert read(store.url(folder), tmp_path, warn=told.append) == b"text"
    [line] = told
    assert line.startswith(f"left out of {store.url(folder)}: hidden (1), runs (1); ")


@pytest.mark.parametrize("times", [3, pytest.param(30, marks=pytest.mark.thorough)])
def test_downloads_that_are_killed_at_any_moment_go_on(
    store, folder, tmp_path, monkeypatch, times
):
    monkeypatch.setattr(object_store, "SLOW", 0.05)
    store.write(f"{folder}/a", CONTENT)
    store.fault = lambda method, path: "slow"
    url = store.url(f"{folder}/a")
    continued = killed(url, tmp_path, CONTENT, seconds=0.4, times=times)
    assert continued >= times // 3
    store.fault = lambda method, path: None
    assert read(url, tmp_path) == CONTENT
    assert kept(tmp_path) == [".text"]


@pytest.mark.parametrize("times", [8, pytest.param(150, marks=pytest.mark.thorough)])
@pytest.mark.usefixtures("impatient")
def test_no_series_of_faults_makes_another_text(
    store, folder, tmp_path, monkeypatch, times
):
    """That many requests go wrong: what is read is whole, or an error is told."""
    monkeypatch.setattr(object_store, "SLOW", 0.05)
    draw, faults = random.Random(0), collections.Counter()
    kinds = ("500", "503", "429", "403", "slow", "refused", "lost", "cut")

    def fault(method, path):
        if draw.random() > rate:
            return None
        kind = kinds[sum(faults.values()) % len(kinds)]
        faults[kind] += 1
        return kind

    url, read_well, told = store.url(f"{folder}/a"), 0, 0
    while sum(faults.values()) < times:
        content, rate = draw.randbytes(len(CONTENT)), draw.choice([0.02, 0.1])
        store.write(f"{folder}/a", content)
        store.fault = fault
        try:
            found = read(url, tmp_path)
        except InputError:
            told += 1
        else:
            assert found == content
            read_well += 1
        store.fault = lambda method, path: None
    assert read_well > 0
    assert set(faults) == set(kinds)
    assert read(url, tmp_path) == content


@pytest.mark.parametrize("what", ["bucket", "object", "empty", "login", "permission"])
def test_a_script_tells_what_is_wrong_in_one_line(
    store, folder, tmp_path, capsys, what
):
    store.write(f"{folder}/a", CONTENT)
    store.fault = lambda method, path: {"login": "401", "permission": "403"}.get(what)
    spec, said = {
        "bucket": (
            f"{store.scheme}://no-such-bucket/a",
            "check the name of the bucket",
        ),
        "object": (store.url(f"{folder}/b"), "no such bucket or object"),
        "empty": (store.url(f"{folder}/b/"), "holds no files"),
        "login": (store.url(f"{folder}/a"), "no credentials: .*; log in, as with"),
        "permission": (store.url(f"{folder}/a"), "no permission: "),
    }[what]
    for flag in "--corpus", "--val-corpus":
        assert char_gen.main([flag, spec, "--workdir", str(tmp_path / "run")]) == 2
        assert re.search(said, capsys.readouterr().err.splitlines()[-1])
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_download_takes_no_memory_by_its_size(store, folder, tmp_path):
    store.write(f"{folder}/small", CONTENT)
    store.write(f"{folder}/large", bytes(300_000_000))
    small, large = (store.url(f"{folder}/{name}") for name in ("small", "large"))
    size, before, after = peaks(small, large, tmp_path)
    store.remove(f"{folder}/large")
    print(f"{large}: {size:,} bytes; peak {before:.1f} MiB before, {after:.1f} after")
    assert size == 300_000_000
    assert after - before < 60
