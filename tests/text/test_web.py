"""Texts at URLs: read once, continued when cut, never half of two versions."""

import contextlib
import hashlib
import random
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from downloads import kept, killed, peaks, read
from web_server import CONTENT, FAULTY

from jaxtext import buckets
from jaxtext.errors import InputError
from jaxtext.text import load, remote, web

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["etag", "date"])
def versioned(server, request):
    """A server that tells the version of its file."""
    if request.param == "etag":
        server.etag = '"one"'
    else:
        server.modified = "Sat, 28 Nov 2026 10:00:00 GMT"  # that of both
    return server


def test_a_file_is_read_once_while_it_stays_as_it_is(versioned, tmp_path):
    for _ in range(2):
        assert read(versioned.url(), tmp_path) == CONTENT
    # Asked twice for the first byte, and once for all.
    assert versioned.requests == ["bytes=0-0", None, "bytes=0-0"]
    assert kept(tmp_path) == [".text"]


def test_a_file_that_has_changed_is_read_again_and_kept_once(server, tmp_path):
    for n in range(3):
        server.content, server.etag = CONTENT[n:], f'"{n}"'
        assert read(server.url(), tmp_path) == CONTENT[n:]
        assert kept(tmp_path) == [".text"]


def test_a_file_whose_server_tells_no_version_is_read_each_time(server, tmp_path):
    for n in range(2):
        server.content = bytes([n]) * len(CONTENT)
        assert read(server.url(), tmp_path) == server.content
    assert kept(tmp_path) == [".text"]


@pytest.mark.parametrize(
    "manner", ["cuts", "chunked and cut", "resets", "busy", "long"]
)
def test_faults_that_pass_cost_nothing(versioned, patient, tmp_path, manner):
    versioned.manners = [manner, "well", manner, manner]
    assert read(versioned.url(), tmp_path) == CONTENT


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("manner", ["well", "slow", "chunked", "ignores ranges"])
def test_ways_of_serving_that_are_no_faults(versioned, tmp_path, manner):
    versioned.manner = manner
    for _ in range(2):
        assert read(versioned.url(), tmp_path) == CONTENT


def test_a_cut_download_goes_on_with_a_condition(versioned, patient, tmp_path):
    versioned.manners = ["well", "cuts"]
    assert read(versioned.url(), tmp_path) == CONTENT
    assert versioned.requests == ["bytes=0-0", None, f"bytes={FAULTY}-"]
    assert versioned.conditions[2] == (versioned.etag or versioned.modified)


def test_the_next_call_continues_a_download(versioned, tmp_path):
    versioned.manners = ["well", "cuts", "busy"]
    with pytest.raises(InputError, match=r"cannot read .*numbers\.txt .*answers 503"):
        read(versioned.url(), tmp_path)
    assert kept(tmp_path) == [".part"]
    assert read(versioned.url(), tmp_path) == CONTENT
    assert versioned.requests[-1] == f"bytes={FAULTY}-"
    assert kept(tmp_path) == [".text"]


def test_a_download_of_another_version_is_not_continued(server, tmp_path):
    server.etag, server.manners = '"one"', ["well", "cuts", "busy"]
    with pytest.raises(InputError):
        read(server.url(), tmp_path)
    server.content, server.etag = CONTENT[::-1], '"two"'
    assert read(server.url(), tmp_path) == CONTENT[::-1]
    assert kept(tmp_path) == [".text"]


@pytest.mark.parametrize("etag", ['"one"', 'W/"one"', None])
@pytest.mark.usefixtures("patient")
def test_a_file_that_changes_while_it_is_read_is_begun_again(server, tmp_path, etag):
    server.etag, server.manners = etag, ["well", "changes"]
    assert read(server.url(), tmp_path) == CONTENT[::-1]


def test_another_length_is_another_version(server, tmp_path, patient):
    server.modified = (
        "Sat, 28 Nov 2026 10:00:00 GMT"  # both versions are of that second
    )
    server.manners = ["well", "cuts"]

    def change(done, total):
        if done:
            server.content = CONTENT[::-1] + b"more"

    assert read(server.url(), tmp_path, progress=change) == CONTENT[::-1] + b"more"


def test_a_file_that_keeps_changing_is_told(server, tmp_path, patient):
    server.etag, server.manner = '"one"', "changes"
    server.manners = ["well"]
    with pytest.raises(InputError, match=r"numbers\.txt changes while it is read"):
        read(server.url(), tmp_path)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("etag", ['W/"one"', None])
def test_without_a_strong_version_a_cut_download_begins_again(server, tmp_path, etag):
    server.etag, server.manners = etag, ["well", "cuts"]
    assert read(server.url(), tmp_path) == CONTENT
    assert server.requests[1::2] == [None, None]


def test_processes_that_start_together_download_once(versioned, tmp_path):
    versioned.manner = "slow"
    with ThreadPoolExecutor() as pool:
        texts = list(pool.map(lambda _: read(versioned.url(), tmp_path), range(4)))
    assert texts == [CONTENT] * 4
    assert versioned.requests.count(None) == 1


def test_waiting_for_another_process_can_be_ended(server, tmp_path):
    server.etag, server.manners = '"one"', ["well", "stalls"]

    def stop(done, total):
        raise KeyboardInterrupt

    with ThreadPoolExecutor() as pool:
        first = pool.submit(read, server.url(), tmp_path)
        while not any(x.stat().st_size for x in tmp_path.glob("downloads/*.part")):
            time.sleep(0.005)
        with pytest.raises(KeyboardInterrupt):
            read(server.url(), tmp_path, progress=stop)
        assert not first.done()
        server.released.set()
        assert first.result() == CONTENT


def test_a_damaged_copy_is_told_and_read_again(versioned, tmp_path):
    read(versioned.url(), tmp_path)
    [copy] = tmp_path.glob("downloads/*.text")
    copy.write_bytes(b"x" + CONTENT[1:])
    told = []
    assert read(versioned.url(), tmp_path, warn=told.append) == CONTENT
    assert "numbers.txt is damaged" in told[0]


def test_a_hash_in_the_url_is_what_the_file_must_have(server, tmp_path):
    url = f"{server.url()}#sha256={SHA256.upper()}"
    for _ in range(2):
        assert read(url, tmp_path) == CONTENT
    assert server.requests == [None]
    server.content = CONTENT[1:]
    url = f"{server.url('other')}#sha256={SHA256}"
    with pytest.raises(
        InputError, match=f"expected contents with sha256 {SHA256}, got"
    ):
        read(url, tmp_path)
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize(
    "manner", ["bare", "cuts", "chunked and cut", "ignores ranges"]
)
@pytest.mark.usefixtures("patient")
def test_what_is_known_by_its_hash_goes_on_without_a_version(server, tmp_path, manner):
    server.manners = [manner, manner]
    assert read(f"{server.url()}#sha256={SHA256}", tmp_path) == CONTENT


def test_a_wrong_part_of_what_is_known_by_its_hash_is_thrown_away(server, tmp_path):
    url = f"{server.url()}#sha256={SHA256}"
    server.content, server.manners = CONTENT[::-1], ["cuts", "missing"]
    with pytest.raises(InputError, match="404"):
        read(url, tmp_path)
    server.content = CONTENT
    assert read(url, tmp_path) == CONTENT
    assert server.requests[-2:] == [f"bytes={FAULTY}-", None]


def test_progress_is_told_in_bytes(versioned, tmp_path):
    for _ in range(2):  # while it is received, and while the copy is checked
        calls: list[tuple[int, int]] = []

        def progress(done, total, calls=calls):
            calls.append((done, total))

        read(versioned.url(), tmp_path, progress=progress)
        assert calls[-1] == (len(CONTENT),) * 2
        assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_a_text_from_the_web_is_the_text(server, tmp_path):
    server.content = "naïve café 😀\n".encode() * 20
    path = tmp_path / "numbers.txt"
    path.write_bytes(server.content)
    there = load(server.url("a/numbers.txt?raw=1"), cache=tmp_path / "cache")
    here = load(path, cache=tmp_path / "cache")
    assert (there.name, there.sha256, there.ids.path) == (
        here.name,
        here.sha256,
        here.ids.path,
    )


def test_what_is_wrong_with_a_text_is_said_of_its_url(server, tmp_path):
    server.content = b"text\0" * 50
    with pytest.raises(
        InputError, match=r"but http://127.*/numbers\.txt has a NUL byte"
    ):
        load(server.url(), cache=tmp_path)


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("missing", r"the server answers 404, Not Found\); check the address"),
        ("forbidden", r"the server answers 403, Forbidden"),
        ("busy", r"the server answers 503, Service Unavailable"),
        ("hangs", r"timed out"),
        ("resets", r"Remote end closed connection"),
        ("bare", r"does not say how long it is.*give its path"),
    ],
)
def test_a_server_that_does_not_serve_is_told_in_one_line(
    server, tmp_path, monkeypatch, manner, said
):
    if manner == "hangs":
        monkeypatch.setattr(web, "TIMEOUT", 0.1)
    server.manner = manner
    with pytest.raises(InputError, match=said) as told:
        read(server.url("a.txt?signature=secret"), tmp_path)
    assert f"cannot read {server.url('a.txt')} (" in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)
    assert kept(tmp_path) == []


def test_a_part_that_was_not_asked_for_is_refused(server, tmp_path):
    server.etag, server.manners = '"one"', ["well", "cuts", "other part"]
    with pytest.raises(InputError, match="another part than it was asked for"):
        read(server.url(), tmp_path)


def test_a_web_page_in_place_of_a_text_is_refused(server, tmp_path):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(InputError, match=r"sends a web page, text/html;.*GitHub"):
        read(server.url(), tmp_path)
    assert read(server.url("page.html"), tmp_path) == CONTENT  # it was asked for


def test_an_address_that_leads_nowhere_is_told_at_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "PATIENCE", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    begin = time.monotonic()
    for url, said in (
        (f"http://127.0.0.1:{port}/a", "Connection refused"),
        ("http://no-such-host.invalid/a", r"\("),
        (f"http://127.0.0.1:{port}/a#sha256={SHA256}", "Connection refused"),
    ):
        with pytest.raises(InputError, match=f"cannot read http://.*{said}"):
            read(url, tmp_path)
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "expected a URL such as https://host/text.txt"),
        ("https:///text", "expected a URL such as"),
        ("https://me:secret@host/text", "with no password in it"),
        ("https://host:port/text", "expected a URL such as"),
        ("https://host/text#sha256=12", "expected 64 hexadecimal digits"),
        (
            "ftp://host/text",
            "expected a path, gs://, s3://, https:// or http://, got ftp",
        ),
        ("file:///text", "expected a path, gs://"),
    ],
)
def test_what_is_no_url_of_a_text_is_told(url, said, tmp_path):
    with pytest.raises(InputError, match=said):
        read(url, tmp_path)


def test_a_disk_that_is_too_small_is_told_before_it_is_full(
    versioned, tmp_path, monkeypatch
):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        InputError, match=r"512,000 more bytes, .* has 1,000 bytes free"
    ):
        read(versioned.url(), tmp_path)


def test_an_empty_file_is_empty(versioned, tmp_path):
    versioned.content = b""
    assert read(versioned.url(), tmp_path) == b""


@pytest.mark.parametrize("stop_at", [1, 3, 6])
def test_a_download_that_is_ended_goes_on_where_it_was(versioned, tmp_path, stop_at):
    calls = []

    def stop(done, total):
        calls.append(done)
        if len(calls) > stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(versioned.url(), tmp_path, progress=stop)
    assert read(versioned.url(), tmp_path) == CONTENT
    resumed = int(versioned.requests[-1].removeprefix("bytes=").rstrip("-"))
    assert resumed == calls[-1]


MANNERS = [
    *(
        "well",
        "busy",
        "resets",
        "cuts",
        "chunked",
        "chunked and cut",
        "changes",
        "long",
    ),
    *("ignores ranges", "416", "other part", "slow", "bare", "missing"),
]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("versioned", ["etag", "date"], indirect=True)
def test_no_series_of_faults_makes_another_text(versioned, patient, tmp_path, seed):
    """What is read is one of the texts that were served, whole, or an error is told."""
    server, draw = versioned, random.Random(seed)
    served, texts = {CONTENT, CONTENT[::-1]}, []
    for _ in range(10):
        server.manners = draw.choices(MANNERS, k=draw.randrange(1, 6))
        if draw.random() < 0.3:
            server.change(draw.randbytes(len(CONTENT) + draw.choice([0, 7])))
            served |= {server.content, server.content[::-1]}
        with contextlib.suppress(InputError):
            texts.append(read(server.url(), tmp_path))
    assert texts
    assert served.issuperset(texts)


@pytest.mark.parametrize("times", [3, pytest.param(30, marks=pytest.mark.thorough)])
def test_downloads_that_are_killed_at_any_moment_go_on(versioned, tmp_path, times):
    versioned.manner = "slow"
    continued = killed(versioned.url(), tmp_path, CONTENT, seconds=0.25, times=times)
    assert continued >= times // 3
    assert read(versioned.url(), tmp_path) == CONTENT
    assert kept(tmp_path) == [".text"]


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_download_takes_no_memory_by_its_size(versioned, tmp_path):
    versioned.contents["large"] = bytes(300_000_000)
    size, before, after = peaks(versioned.url(), versioned.url("large"), tmp_path)
    print(f"web: {size:,} bytes; peak {before:.1f} MiB before, {after:.1f} after")
    assert size == 300_000_000
    assert after - before < 20
