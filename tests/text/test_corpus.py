"""Texts prepared in the cache, by one process or by several, in constant memory."""

import errno
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxtext.errors import InputError
from jaxtext.text import corpus as corpus_module
from jaxtext.text import entry, load, reader
from jaxtext.text.vocabulary import MAX_CHARACTERS

TEXT = "\ufeffThe quick brown fox\r\njumps over\0 the lazy dog: é€😀\n" * 10
SHAKESPEARE = Path("/work/shared/data/tinyshakespeare.txt")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fox.txt"
    path.write_bytes(TEXT.encode())
    return path


def entries(cache):
    """Everything there is in the cache's directory of corpora."""
    return sorted(path.name for path in (cache / "corpora").glob("*"))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("vocab", ["chars", "bytes"])
def test_a_corpus_decodes_to_its_text(file, cache, monkeypatch, chunk, vocab):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    corpus = load([str(file)], vocab=vocab, cache=cache)
    assert corpus.name == "fox"
    assert corpus.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert corpus.vocabulary.decode(corpus.ids) == TEXT
    assert corpus.ids.tolist() == corpus.vocabulary.encode(TEXT).tolist()
    assert entries(cache) == [f"{corpus.sha256}-{vocab}"]


def test_ids_are_a_read_only_memory_map(file, cache):
    ids = load([str(file)], cache=cache).ids
    assert isinstance(ids, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 0


def test_a_vocabulary_beyond_256_makes_16_bit_ids(tmp_path, cache):
    text = "".join(map(chr, range(1000, 1300)))
    (tmp_path / "many.txt").write_text(text, encoding="utf-8")
    corpus = load([str(tmp_path / "many.txt")], cache=cache)
    assert corpus.ids.dtype == np.uint16
    assert corpus.ids.tolist() == list(range(300))


def test_more_characters_than_16_bits_can_count(tmp_path, cache):
    text = "".join(map(chr, range(0x10000, 0x10000 + MAX_CHARACTERS + 1)))
    (tmp_path / "all.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="--vocab bytes"):
        load([str(tmp_path / "all.txt")], cache=cache)


def test_binary_files_work_as_bytes(tmp_path, cache):
    data = bytes(range(256)) * 2
    (tmp_path / "data.bin").write_bytes(data)
    corpus = load([str(tmp_path / "data.bin")], vocab="bytes", cache=cache)
    assert corpus.ids.tobytes() == data
    with pytest.raises(InputError, match=r"data\.bin has byte 0x80 at offset 128"):
        load([str(tmp_path / "data.bin")], cache=cache)


def test_files_are_joined_in_order(file, tmp_path, cache):
    (tmp_path / "a.txt").write_text("first")
    corpus = load([str(tmp_path / "a.txt"), str(file)], cache=cache)
    assert corpus.vocabulary.decode(corpus.ids) == "first" + TEXT
    assert corpus.name == "a"


@pytest.mark.parametrize("vocab", ["chars", "bytes"])
def test_a_limit_is_the_corpus_of_a_shorter_text(file, tmp_path, cache, vocab):
    limited = load([str(file)], vocab=vocab, limit=101, cache=cache)
    assert len(limited.ids) == 101
    (tmp_path / "start.txt").write_bytes(
        limited.vocabulary.decode(limited.ids).encode()
    )
    start = load([str(tmp_path / "start.txt")], vocab=vocab, cache=cache)
    assert start.sha256 == limited.sha256
    assert start.vocabulary == limited.vocabulary


def test_standard_input(cache, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(TEXT.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    corpus = load(["-"], cache=cache)
    assert corpus.name == "stdin"
    assert corpus.vocabulary.decode(corpus.ids) == TEXT
    assert [path.name for path in cache.iterdir()] == ["corpora"]


def test_an_entry_is_used_again_whatever_the_file_is_called(file, tmp_path, cache):
    first = load([str(file)], cache=cache)
    file.rename(tmp_path / "renamed.txt")
    made = os.stat(first.ids.filename).st_mtime_ns
    second = load([str(tmp_path / "renamed.txt")], cache=cache)
    assert second.name == "renamed"
    assert second.ids.filename == first.ids.filename
    assert os.stat(second.ids.filename).st_mtime_ns == made


def test_the_cache_is_where_the_environment_says(file, cache, monkeypatch):
    monkeypatch.setenv("JAXTEXT_CACHE", str(cache))
    assert Path(load([str(file)]).ids.filename).is_relative_to(cache)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty one"),
        ("a", "at least 100 characters, got 1;"),
        ("ab" * 49 + "é", "at least 100 characters, got 99;"),
        ("é" * 100, "nothing to predict in a text of 100 times 'é'"),
    ],
)
def test_texts_there_is_nothing_to_learn_from(tmp_path, cache, text, message):
    (tmp_path / "text").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load([str(tmp_path / "text")], cache=cache)
    assert not cache.exists()


def test_a_hundred_characters_are_enough(tmp_path, cache):
    (tmp_path / "text").write_text("ab" * 50)
    assert len(load([str(tmp_path / "text")], cache=cache).ids) == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit of at least 1, got 0"),
        ({"limit": 99}, "got 99; give a longer corpus or a higher limit"),
        ({"vocab": "words"}, "expected --vocab chars or bytes, got 'words'"),
    ],
)
def test_wrong_options(file, cache, options, message):
    with pytest.raises(InputError, match=message):
        load([str(file)], cache=cache, **options)


def test_progress_counts_both_passes(file, cache, monkeypatch):
    monkeypatch.setattr(reader, "CHUNK", 100)
    size = file.stat().st_size
    calls = []
    load([str(file)], cache=cache, progress=lambda *call: calls.append(call))
    assert {total for _, total in calls} == {2 * size}
    done = [done for done, _ in calls]
    assert done == sorted(done)
    assert {100, size, size + 100, 2 * size} < set(done)
    calls.clear()
    load([str(file)], cache=cache, progress=lambda *call: calls.append(call))
    assert calls[-2:] == [(size, 2 * size), (2 * size, 2 * size)]


def test_progress_never_exceeds_its_total(file, cache):
    calls = []
    load([str(file)], limit=120, cache=cache, progress=lambda *call: calls.append(call))
    assert calls[-1] == (240, 240)
    assert max(done for done, _ in calls) == 240


def between_the_passes(monkeypatch, do):
    """Have the next ``load`` call ``do`` when its first pass is over."""

    def write(*args):
        monkeypatch.setattr(corpus_module, "write", entry.write)
        do()
        entry.write(*args)

    monkeypatch.setattr(corpus_module, "write", write)


@pytest.mark.parametrize(
    "change",
    [lambda text: text + "x", lambda text: text[:-1], str.swapcase, lambda _: "ž" * 99],
    ids=["longer", "shorter", "same length", "new character"],
)
def test_a_text_that_changes_while_it_is_read(file, cache, monkeypatch, change):
    changed = change(TEXT).encode()
    between_the_passes(monkeypatch, lambda: file.write_bytes(changed))
    with pytest.raises(InputError, match="the text changed"):
        load([str(file)], cache=cache)
    assert entries(cache) == []


def test_an_interrupted_preparation_leaves_nothing(file, cache):
    def interrupt(done, total):
        if done > total // 2:
            assert len(entries(cache)) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load([str(file)], cache=cache, progress=interrupt)
    assert entries(cache) == []


@pytest.mark.parametrize(("owner", "call"), [(os, "fsync"), (Path, "rename")])
def test_a_full_disk(file, cache, monkeypatch, owner, call):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(owner, call, full)
    with pytest.raises(InputError, match=r"corpora \(No space left.*JAXTEXT_CACHE"):
        load([str(file)], cache=cache)
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written(file, tmp_path):
    (tmp_path / "occupied").touch()
    with pytest.raises(InputError, match=r"occupied/corpora.*JAXTEXT_CACHE"):
        load([str(file)], cache=tmp_path / "occupied")


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "ids.npy").unlink(),
        lambda entry: (entry / "vocabulary.json").unlink(),
        lambda entry: (entry / "vocabulary.json").write_text("{"),
        lambda entry: (entry / "vocabulary.json").write_text("{}"),
        lambda entry: os.truncate(entry / "ids.npy", 200),
        lambda entry: os.truncate(entry / "ids.npy", 0),
        lambda entry: np.save(entry / "ids.npy", np.zeros(3, np.uint8)),
    ],
)
def test_a_damaged_entry_is_named(file, cache, damage):
    corpus = load([str(file)], cache=cache)
    damage(Path(corpus.ids.filename).parent)
    with pytest.raises(InputError, match=f"{corpus.sha256}-chars is damaged; delete"):
        load([str(file)], cache=cache)


def test_the_slower_of_two_preparations_uses_the_faster_ones_entry(
    file, cache, monkeypatch
):
    faster = []
    between_the_passes(
        monkeypatch, lambda: faster.append(load([str(file)], cache=cache))
    )
    slower = load([str(file)], cache=cache)
    assert slower.ids.tolist() == faster[0].ids.tolist()
    assert len(entries(cache)) == 1


SCRIPT = """
import os, signal, sys
from pathlib import Path
from jaxtext.text import load

file, cache, action = sys.argv[1:]

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def progress(done, total):
    if action == "die" and done > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)

before = peak() if action == "measure" else 0
corpus = load([file], cache=Path(cache), progress=progress)
print(corpus.sha256, peak() - before if action == "measure" else 0)
"""


def start(file, cache, action):
    """Prepare ``file`` in a process of its own."""
    command = [sys.executable, "-c", SCRIPT, str(file), str(cache), action]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_prepare_the_same_text_at_once(tmp_path, cache):
    file = tmp_path / "large.txt"
    file.write_text(TEXT * 20_000, encoding="utf-8")
    processes = [start(file, cache, "load") for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs[0] == outputs[1] != ""
    assert len(entries(cache)) == 1


def test_a_killed_process_leaves_nothing_that_is_taken_for_an_entry(file, cache):
    process = start(file, cache, "die")
    process.communicate()
    assert process.returncode < 0
    [left] = entries(cache)
    assert left.startswith(".")
    corpus = load([str(file)], cache=cache)
    assert corpus.vocabulary.decode(corpus.ids) == TEXT


# VmHWM because ru_maxrss starts, in a child, with the size of the parent.
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat(tmp_path, cache):
    file = tmp_path / "large.txt"
    with file.open("w", encoding="utf-8") as out:
        for _ in range(100):
            out.write(TEXT * 1000)
    assert file.stat().st_size > 55e6
    growth = float(start(file, cache, "measure").communicate()[0].split()[1])
    assert growth < 40  # MiB


@pytest.mark.skipif(not SHAKESPEARE.exists(), reason="no copy on this machine")
def test_tinyshakespeare(cache):
    corpus = load([str(SHAKESPEARE)], cache=cache)
    assert corpus.ids.shape == (1_115_394,)
    assert len(corpus.vocabulary) == 65
    assert corpus.vocabulary.decode(corpus.ids[:14]) == "First Citizen:"
