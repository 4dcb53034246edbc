"""Compiled programs are kept between starts, and nothing about them ends a run."""

import errno
import json
import os
import re
import warnings

import char_gen
import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from common import programs
from common.programs import Programs, keep_programs

SETTINGS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture(autouse=True)
def _as_for_a_user(monkeypatch):
    """JAX has no settings of its own, and gets those of the session back."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    for name in SETTINGS:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(programs.compilation_cache, "get_file_cache", None)
    yield
    monkeypatch.undo()
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


@pytest.fixture
def gen(tmp_path, capsys):
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 20)

    def run(name, *words):
        """Starts the script as if in a new process, which has compiled nothing."""
        jax.clear_caches()
        of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / name)]
        small = "--hidden 8 --batch-size 8 --seq-len 8 --steps 5 --sample-every 0"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            status = char_gen.main([*of, *small.split(), *map(str, words)])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return json.loads(captured.out), captured.err

    return run


def entries(place):
    return sorted(place.glob("*/*.program"))


def test_a_second_start_reads_what_the_first_has_compiled(gen, tmp_path, monkeypatch):
    """By default it does, and the parameters are the same bits with and without."""
    monkeypatch.setenv("JAXTEXT_CACHE", str(tmp_path / "cache"))
    first, _ = gen("first")
    assert first["programs_from_cache"] == 0
    assert len(entries(tmp_path / "cache" / "programs")) == first["programs"]
    second, said = gen("second")
    assert second["programs_from_cache"] == second["programs"] == first["programs"]
    assert "note: " not in said
    without, _ = gen("without", "--compilation-cache", "")
    assert without["programs_from_cache"] == 0
    assert {x["parameters_sha256"] for x in (first, second, without)} == {
        first["parameters_sha256"]
    }


def test_damaged_programs_are_compiled_again(gen, tmp_path):
    """Cut off, as by a full disk, or with a flipped bit; and then replaced."""
    place = tmp_path / "programs"
    first, _ = gen("first", "--compilation-cache", place)
    kept = entries(place)
    for k, entry in enumerate(kept):
        data = bytearray(entry.read_bytes())
        data[-1 - 7 * k % len(data)] ^= 1 << k % 8
        entry.write_bytes(data if k % 2 else data[: k * 40])
    second, said = gen("second", "--compilation-cache", place)
    assert second["programs_from_cache"] == 0
    told = [x for x in said.splitlines() if x.startswith("note: ")]
    assert len(told) == 1
    assert "is damaged; what is damaged is compiled again" in told[0]
    third, said = gen("third", "--compilation-cache", place)
    assert third["programs_from_cache"] == third["programs"]
    assert "note: " not in said
    assert first["parameters_sha256"] == second["parameters_sha256"]


def no_file(error):
    """In place of `unfinished`, as on a disk that fails."""

    def fail(directory):
        raise OSError(error, os.strerror(error))

    return fail


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_directory_that_cannot_be_written(error, tmp_path, monkeypatch, capsys):
    cache = Programs(tmp_path, limit=10**6)
    cache.put("before", b"value")
    monkeypatch.setattr(programs, "unfinished", no_file(error))
    cache.put("one", b"value")
    cache.put("two", b"value")
    assert (cache.get("one"), cache.get("before")) == (None, b"value")
    (told,) = capsys.readouterr().err.splitlines()  # and not for each program
    assert told.startswith(f"note: cannot write compiled programs in {tmp_path}")
    assert os.strerror(error) in told


def test_a_full_disk_ends_no_run(gen, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "unfinished", no_file(errno.ENOSPC))
    result, said = gen("run", "--compilation-cache", tmp_path / "programs")
    assert result["steps"] == 5
    assert sum(x.startswith("note: ") for x in said.splitlines()) == 1


def test_a_file_in_the_place_of_the_directory(gen, tmp_path):
    """The place that is typed is refused at once, the default one is told."""
    (tmp_path / "file").write_text("")
    told = "--compilation-cache: expected a directory, or '' for none, got"
    with pytest.raises(AssertionError, match=re.escape(told)):
        gen("run", "--compilation-cache", tmp_path / "file")
    cache = Programs(tmp_path / "file", limit=10**6)
    cache.put("key", b"value")
    assert cache.get("key") is None


def test_what_was_used_longest_ago_goes_first(tmp_path):
    cache = Programs(tmp_path, limit=300)
    other = tmp_path / "another-machine"
    other.mkdir()
    for k, name in enumerate(["a", "b"]):
        cache.put(name, b"x" * 50)
        os.utime(cache._entry(name), (k, k))
    (other / "c.program").write_bytes(b"x" * 80)
    os.utime(other / "c.program", (1.5, 1.5))
    assert cache.get("a") == b"x" * 50  # and so it is the newest
    cache.put("d", b"x" * 50)
    assert cache.get("b") is None
    assert (other / "c.program").exists()
    cache.put("e", b"x" * 50)
    assert not (other / "c.program").exists()
    assert [cache.get(name) is None for name in "ade"] == [False] * 3
    cache.put("f", b"x" * 500)  # more than all of it
    assert cache.get("f") is None
    assert sum(x.stat().st_size for x in entries(tmp_path)) <= 300


def test_programs_of_another_machine_are_not_read(tmp_path, monkeypatch):
    """As where machines with other instructions share the directory by NFS."""
    here = Programs(tmp_path, limit=10**6)
    here.put("key", b"AVX-512")
    monkeypatch.setattr(programs, "machine", lambda: "older")
    assert Programs(tmp_path, limit=10**6).get("key") is None
    # Nor is an entry that somebody copied under another key.
    os.replace(here._entry("key"), here._entry("other"))
    assert here.get("other") is None


def test_two_processes_that_write_the_same_entry(tmp_path):
    one, two = (Programs(tmp_path, limit=10**6) for _ in range(2))
    one.put("key", b"one")
    two.put("key", b"two")
    assert one.get("key") == two.get("key") == b"two"
    assert [x.name for x in entries(tmp_path)] == ["key.program"]


def test_settings_of_jax_come_first(tmp_path, monkeypatch, capsys):
    theirs = str(tmp_path / "theirs")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", theirs)
    jax.config.update("jax_compilation_cache_dir", theirs)
    assert keep_programs(str(tmp_path / "ours")) is None
    assert jax.config.jax_compilation_cache_dir == theirs
    assert "JAX_COMPILATION_CACHE_DIR is set, and is used" in capsys.readouterr().err
    assert keep_programs() is None
    assert not capsys.readouterr().err


def test_the_limit_of_jax_is_kept(tmp_path):
    jax.config.update("jax_compilation_cache_max_size", 400)
    try:
        kept = keep_programs(str(tmp_path))
        assert kept is not None
        assert kept._limit == 400
    finally:
        jax.config.update("jax_compilation_cache_max_size", -1)


def test_jax_stores_its_programs_here(tmp_path):
    """JAX has no public way to replace how it stores them, and may change its own."""
    kept = keep_programs(str(tmp_path / "programs"))
    assert kept is not None
    jax.jit(lambda x: jnp.sin(x) + 7.125)(jnp.arange(3.0))
    assert entries(kept.root)
