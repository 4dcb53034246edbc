"""Texts prepared in the cache, by one process or by several, in constant memory."""

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxtext.errors import InputError
from jaxtext.text import FileArray, Vocabulary, entry, load, reader
from jaxtext.text import corpus as corpus_module
from jaxtext.text.vocabulary import MAX_CHARACTERS

TINY_SHAKESPEARE = Path(__file__).parents[3] / "shared" / "data" / "tinyshakespeare.txt"
TEXT = "The quick \ufeffbrown fox\njumps over\1 the lazy dog: é€😀\n" * 10


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


def text_of(corpus):
    return corpus.vocabulary.decode(corpus.ids)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("vocab", ["chars", "bytes"])
def test_a_corpus_decodes_to_its_text(file, cache, monkeypatch, chunk, vocab):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    corpus = load([str(file)], vocab=vocab, cache=cache)
    assert corpus.name == "fox"
    assert corpus.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert text_of(corpus) == TEXT
    assert np.asarray(corpus.ids).tolist() == corpus.vocabulary.encode(TEXT).tolist()
    assert entries(cache) == [f"{corpus.sha256}-{vocab}.npy"]


def test_a_vocabulary_has_certain_symbols_in_any_case(file, cache):
    own = load([str(file)], cache=cache)
    known = Vocabulary("chars", "#Tαβ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # neither entry is taken for a damaged one
        for _ in range(2):
            more = load([str(file)], cache=cache, including=known)
            again = load([str(file)], cache=cache)
    assert more.vocabulary == own.vocabulary.union(known) != own.vocabulary
    assert again.vocabulary == own.vocabulary
    assert (more.sha256, text_of(more)) == (own.sha256, TEXT)
    assert len(entries(cache)) == 2
    inside = load([str(file)], cache=cache, including=Vocabulary("chars", "Tq"))
    assert inside.ids.path == own.ids.path
    with pytest.raises(InputError, match="vocabulary of bytes, got one of chars"):
        load([str(file)], vocab="bytes", cache=cache, including=known)
    assert load([str(file)], vocab="bytes", cache=cache, including=Vocabulary("bytes"))


def test_ids_stay_in_their_file_which_numpy_reads_too(file, cache):
    ids = load([str(file)], cache=cache).ids
    assert isinstance(ids, FileArray)
    np.testing.assert_array_equal(np.load(ids.path), ids)


def test_a_vocabulary_beyond_256_makes_16_bit_ids(tmp_path, cache):
    text = "".join(map(chr, range(1000, 1300)))
    (tmp_path / "many.txt").write_text(text, encoding="utf-8")
    corpus = load([str(tmp_path / "many.txt")], cache=cache)
    assert corpus.ids.dtype == np.uint16
    assert np.asarray(corpus.ids).tolist() == list(range(300))


def test_more_characters_than_16_bits_can_count(tmp_path, cache):
    text = "".join(map(chr, range(0x10000, 0x10000 + MAX_CHARACTERS + 1)))
    (tmp_path / "all.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="`vocab='bytes'`"):
        load([str(tmp_path / "all.txt")], cache=cache)


def test_binary_files_work_as_bytes(tmp_path, cache):
    data = bytes(range(256)) * 2
    (tmp_path / "data.bin").write_bytes(data)
    corpus = load([str(tmp_path / "data.bin")], vocab="bytes", cache=cache)
    assert np.asarray(corpus.ids).tobytes() == data
    with pytest.raises(InputError, match=r"data\.bin has a NUL byte at offset 0"):
        load([str(tmp_path / "data.bin")], cache=cache)


def test_files_are_joined_in_order(file, tmp_path, cache):
    (tmp_path / "a.txt").write_text("first")
    corpus = load([str(tmp_path / "a.txt"), str(file)], cache=cache)
    assert text_of(corpus) == "first\n" + TEXT
    assert corpus.name == "a"


@pytest.mark.parametrize("vocab", ["chars", "bytes"])
def test_two_files_are_another_text_than_one_without_a_boundary(tmp_path, cache, vocab):
    """An entry of files that were joined with nothing between them is never taken."""
    (tmp_path / "both").write_text("ab" * 50 + "cd" * 50)
    (tmp_path / "1").write_text("ab" * 50)
    (tmp_path / "2").write_text("cd" * 50)
    joined = load(tmp_path / "both", vocab=vocab, cache=cache)
    both = load([tmp_path / "1", tmp_path / "2"], vocab=vocab, cache=cache)
    assert text_of(both) == "ab" * 50 + "\n" + "cd" * 50
    assert both.sha256 != joined.sha256
    assert joined.sha256 == hashlib.sha256(b"ab" * 50 + b"cd" * 50).hexdigest()


@pytest.mark.parametrize("spec", [str, os.fsencode, os.fspath, lambda path: path])
def test_one_path_need_not_be_in_a_list(file, cache, spec):
    assert text_of(load(spec(file), cache=cache)) == TEXT


def test_what_is_left_out_of_a_folder_is_told(file, tmp_path, cache):
    (tmp_path / ".hidden").touch()
    with pytest.warns(UserWarning, match=r"left out of .*: hidden \(1\); to read"):
        load(tmp_path, cache=cache)


@pytest.mark.parametrize("vocab", ["chars", "bytes"])
def test_a_limit_is_the_corpus_of_a_shorter_text(file, tmp_path, cache, vocab):
    limited = load([str(file)], vocab=vocab, limit=101, cache=cache)
    assert len(limited.ids) == 101
    (tmp_path / "start.txt").write_bytes(text_of(limited).encode())
    start = load([str(tmp_path / "start.txt")], vocab=vocab, cache=cache)
    assert start.sha256 == limited.sha256
    assert start.vocabulary == limited.vocabulary


def test_standard_input(cache, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(TEXT.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    corpus = load(["-"], cache=cache)
    assert corpus.name == "stdin"
    assert text_of(corpus) == TEXT
    assert [path.name for path in cache.iterdir()] == ["corpora"]


def test_an_entry_is_used_again_whatever_the_file_is_called(file, tmp_path, cache):
    first = load([str(file)], cache=cache)
    file.rename(tmp_path / "renamed.txt")
    made = os.stat(first.ids.path).st_mtime_ns
    second = load([str(tmp_path / "renamed.txt")], cache=cache)
    assert second.name == "renamed"
    assert second.ids.path == first.ids.path
    assert os.stat(second.ids.path).st_mtime_ns == made


def test_the_cache_is_where_the_environment_says(file, cache, monkeypatch):
    monkeypatch.setenv("JAXTEXT_CACHE", str(cache))
    assert load([str(file)]).ids.path.is_relative_to(cache)


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
        ({"limit": 99}, "got 99; use a longer corpus or a higher limit"),
        ({"vocab": "words"}, "expected `vocab` chars or bytes, got 'words'"),
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
    monkeypatch.setattr(entry, "CHUNK", 100)
    again = []
    load([str(file)], cache=cache, progress=lambda *call: again.append(call))
    # The ids, of one byte each, are checked instead of written.
    assert again[: size // 100 + 1] == calls[: size // 100 + 1]
    assert size + 100 in [done for done, _ in again]
    assert again[-1] == (2 * size, 2 * size)


def test_progress_waits_for_the_end_of_standard_input(cache, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(TEXT.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    calls = []
    load(["-"], cache=cache, progress=lambda *call: calls.append(call))
    assert calls[0] == (0, 1)
    assert calls[-1] == (2 * len(TEXT.encode()),) * 2


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


class Stop(Exception):
    """What a caller's progress may raise."""


def calls_of_progress(file, cache):
    calls = []
    load([str(file)], cache=cache, progress=lambda *call: calls.append(call))
    return len(calls)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_preparation_that_is_stopped_leaves_nothing(
    file, tmp_path, monkeypatch, prepared
):
    monkeypatch.setattr(reader, "CHUNK", 100)
    monkeypatch.setattr(entry, "CHUNK", 100)
    count = calls_of_progress(file, tmp_path / "another")
    if prepared:
        count = calls_of_progress(file, tmp_path / "another")
    for last in range(count):
        cache = tmp_path / str(last)
        before = [load([str(file)], cache=cache).ids.path.name] if prepared else []
        left = iter(range(last))

        def stop(done, total, left=left):
            if next(left, None) is None:
                raise Stop

        with pytest.raises(Stop):
            load([str(file)], cache=cache, progress=stop)
        # Stopped when the entry was complete, it may stay.
        made = [] if prepared or not entries(cache) else [entries(cache)[0]]
        assert entries(cache) == (before or made)
        assert not [name for name in entries(cache) if name.startswith(".")]
        assert text_of(load([str(file)], cache=cache)) == TEXT


@pytest.mark.parametrize(("owner", "call"), [(os, "fsync"), (os, "link")])
def test_a_full_disk(file, cache, monkeypatch, owner, call):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(owner, call, full)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"corpora \(No space left.*JAXTEXT_CACHE"):
        load([str(file)], cache=cache)
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written(file, tmp_path):
    (tmp_path / "occupied").touch()
    with pytest.raises(InputError, match=r"occupied/corpora.*JAXTEXT_CACHE"):
        load([str(file)], cache=tmp_path / "occupied")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "0 bytes long"),
        (lambda path: os.truncate(path, 200), "200 bytes long"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), "bytes long"),
        (lambda path: os.truncate(path, path.stat().st_size + 1), "bytes long"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "hash is wrong"),
        (lambda path: np.save(path, np.zeros(3, np.uint8)), "bytes long"),
    ],
)
def test_a_damaged_entry_is_made_anew(file, cache, damage, message):
    corpus = load([str(file)], cache=cache)
    good = corpus.ids.path.read_bytes()
    damage(corpus.ids.path)
    with pytest.warns(
        UserWarning, match=f"{corpus.sha256}-chars.npy is damaged.*{message}"
    ):
        again = load([str(file)], cache=cache)
    assert text_of(again) == TEXT
    assert corpus.ids.path.read_bytes() == good
    assert len(entries(cache)) == 1


def test_no_flipped_bit_is_trained_on(file, cache):
    path = load([str(file)], cache=cache).ids.path
    good = bytearray(path.read_bytes())
    for position in range(0, len(good), 7):
        bad = good.copy()
        bad[position] ^= 1 << position % 8
        path.write_bytes(bad)
        warnings = []
        again = load([str(file)], cache=cache, warn=warnings.append)
        assert len(warnings) == 1
        assert text_of(again) == TEXT
        assert path.read_bytes() == good


def test_an_entry_of_another_vocabulary_is_not_taken(file, cache):
    corpus = load([str(file)], cache=cache)
    *others, last = corpus.vocabulary.characters
    vocabulary = Vocabulary("chars", "".join([*others, chr(ord(last) + 1)]))
    text = entry.Description(corpus.sha256, vocabulary, len(corpus.ids))
    with pytest.raises(entry.DamagedEntryError, match="its hash is wrong"):
        entry.open_ids(corpus.ids.path, text)


def test_an_entry_that_cannot_be_read_is_made_anew(file, cache, monkeypatch):
    corpus = load([str(file)], cache=cache)
    pread, failures = os.pread, iter(range(1))

    def fail(*args):
        if next(failures, None) is not None:
            raise OSError(errno.EIO, "Input/output error")
        return pread(*args)

    monkeypatch.setattr(os, "pread", fail)
    with pytest.warns(UserWarning, match=r"npy at byte 0 \(Input/output error\)"):
        again = load([str(file)], cache=cache)
    assert text_of(again) == text_of(corpus) == TEXT


def test_a_disk_that_keeps_nothing_is_an_error(file, cache, monkeypatch):
    link = os.link

    def lose(source, target):
        os.truncate(source, 100)
        link(source, target)

    monkeypatch.setattr(os, "link", lose)
    with pytest.raises(InputError, match=r"just written and is damaged already .*disk"):
        load([str(file)], cache=cache)


def test_what_is_open_stays_what_it_is(file, cache):
    corpus = load([str(file)], cache=cache)
    file.write_text("another text" * 100)
    corpus.ids.path.rename(cache / "away")
    load([str(file)], cache=cache).ids.path.rename(corpus.ids.path)
    assert text_of(corpus) == TEXT


def test_the_slower_of_two_preparations_uses_the_faster_ones_entry(
    file, cache, monkeypatch
):
    faster = []
    between_the_passes(
        monkeypatch,
        lambda: faster.append(inode(load([str(file)], cache=cache).ids.path)),
    )
    slower = load([str(file)], cache=cache)
    assert text_of(slower) == TEXT
    # Not replaced: on a file system shared by hosts, the faster may be reading it.
    assert faster == [inode(slower.ids.path)]
    assert len(entries(cache)) == 1


def inode(path):
    return path.stat().st_ino


def test_the_slower_of_two_repairs_uses_the_faster_ones_entry(file, cache, monkeypatch):
    path = load([str(file)], cache=cache).ids.path
    os.truncate(path, 200)
    repaired = []
    options = {"cache": cache, "warn": lambda _: None}
    between_the_passes(
        monkeypatch, lambda: repaired.append(load([str(file)], **options).ids)
    )
    assert text_of(load([str(file)], **options)) == TEXT
    assert os.fstat(repaired[0]._file.descriptor).st_ino == inode(path)


def test_a_file_system_without_links(file, cache, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert text_of(load([str(file)], cache=cache)) == TEXT
    assert len(entries(cache)) == 1


SCRIPT = """
import os, signal, sys
from pathlib import Path
from jaxtext.text import load

file, cache, action = sys.argv[1:]
stopped = []

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def progress(done, total):
    if action == "die" and done > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "stop" and done > total // 2 and not stopped:
        stopped.append(done)
        os.kill(os.getpid(), signal.SIGSTOP)

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


def test_what_a_killed_process_leaves_is_removed(file, cache):
    process = start(file, cache, "die")
    process.communicate()
    assert process.returncode < 0
    [left] = entries(cache)
    assert left.startswith(".")
    corpus = load([str(file)], cache=cache)
    assert entries(cache) == [corpus.ids.path.name]
    assert text_of(corpus) == TEXT


def test_what_a_living_process_is_writing_stays(file, cache):
    with start(file, cache, "stop") as process:
        os.waitpid(process.pid, os.WUNTRACED)
        [writing] = entries(cache)
        load([str(file)], cache=cache)
        assert writing in entries(cache)
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0]
    assert process.returncode == 0
    assert len(entries(cache)) == 1


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


@pytest.mark.skipif(not TINY_SHAKESPEARE.exists(), reason="no copy on this machine")
def test_tinyshakespeare(cache):
    corpus = load([str(TINY_SHAKESPEARE)], cache=cache)
    assert corpus.ids.shape == (1_115_394,)
    assert len(corpus.vocabulary) == 65
    assert corpus.vocabulary.decode(corpus.ids[:14]) == "First Citizen:"


CRLF = TEXT.replace("\n", "\r\n")


def test_line_ends_are_lf_and_this_is_told(file, cache):
    plain = load(file, cache=cache)
    file.write_bytes(CRLF.encode())
    said = []
    corpus = load(file, cache=cache, warn=said.append)
    assert said == [
        "20 line ends of fox were CRLF or CR and are LF now; `newlines='keep'` keeps "
        "them"
    ]
    assert (corpus.sha256, corpus.ids.path) == (plain.sha256, plain.ids.path)
    kept = load(file, newlines="keep", cache=cache)  # a warning would be an error
    assert text_of(kept) == CRLF
    assert kept.sha256 == hashlib.sha256(CRLF.encode()).hexdigest()
    raw = load(file, vocab="bytes", cache=cache)
    assert np.asarray(raw.ids).tobytes() == CRLF.encode()
    with pytest.raises(InputError, match="expected `newlines` lf or keep, got 'crlf'"):
        load(file, newlines="crlf", cache=cache)


@pytest.mark.parametrize("row", ["a\r\nb", "a\rb", "a\nb"])
def test_line_ends_of_documents_are_lf(tmp_path, cache, row):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(
        b"\r\n".join(json.dumps({"text": row}).encode() for _ in range(50))
    )
    how = {"documents": "jsonl", "field": "text", "cache": cache}
    corpus = load(file, **how, warn=lambda text: None)
    assert corpus.vocabulary.decode(corpus.documents[0]) == "a\nb"
    kept = load(file, **how, newlines="keep")
    assert kept.vocabulary.decode(kept.documents[0]) == row


@pytest.mark.parametrize(
    ("begins", "said"),
    [
        ("<!DOCTYPE html><p>", "the text is an HTML page, .* pandoc -f html -t plain"),
        ("\n<html>", "the text is an HTML page, .* pandoc -f html -t plain"),
        ("{\\rtf1 ", "the text is an RTF document, .* pandoc -f rtf -t plain"),
        ("%!PS-Adobe", "the text is a PostScript document, .* ps2ascii"),
        ('{"cells": [{"cell_type":', "the text is a Jupyter notebook, .* nbconvert"),
    ],
)
def test_markup_is_told_and_learnt(file, cache, begins, said):
    file.write_text(begins + TEXT)
    with pytest.warns(UserWarning, match=said):
        corpus = load(file, cache=cache)
    assert text_of(corpus) == begins + TEXT


def test_markup_is_told_of_most_files(tmp_path, cache):
    for name in "ab":
        (tmp_path / f"{name}.html").write_text(f"<html>{TEXT}")
    (tmp_path / "c.txt").write_text(TEXT)
    with pytest.warns(UserWarning, match="2 of 3 files are HTML pages, .* pandoc"):
        load(tmp_path / "*.*", cache=cache)
    for name in "de":
        (tmp_path / f"{name}.txt").write_text(TEXT)
    load(tmp_path / "*.*", cache=cache)
