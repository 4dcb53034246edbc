"""Downloads from a server on this machine that misbehaves as told."""

import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from web_server import CONTENT

from jaxtext.errors import InputError
from jaxtext.text import download, web
from jaxtext.text.download import DATASETS as KNOWN
from jaxtext.text.download import Dataset, fetch

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _numbers(server, monkeypatch):
    dataset = Dataset(server.url(), SHA256, len(CONTENT))
    monkeypatch.setattr(download, "DATASETS", {"numbers": dataset})


@pytest.fixture
def part(tmp_path):
    """Where the download grows."""
    part = tmp_path / "downloads" / "numbers.part"
    part.parent.mkdir()
    return part


def test_a_data_set_is_downloaded_once(server, tmp_path):
    path = fetch("numbers", tmp_path)
    assert path == tmp_path / "downloads" / "numbers.txt"
    assert path.read_bytes() == CONTENT
    assert fetch("numbers", tmp_path) == path
    assert server.requests == [None]
    assert not path.with_suffix(".part").exists()


def test_processes_that_start_together_download_once(server, tmp_path):
    with ThreadPoolExecutor() as pool:
        paths = list(pool.map(lambda _: fetch("numbers", tmp_path), range(4)))
    assert paths[0].read_bytes() == CONTENT
    assert server.requests == [None]


def test_a_cut_download_is_resumed_at_once(server, tmp_path):
    server.manner = "cuts"
    assert fetch("numbers", tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=200000-", "bytes=400000-"]


def test_a_download_that_failed_is_resumed_by_the_next_call(server, part, tmp_path):
    server.manners = ["cuts", "missing"]
    with pytest.raises(InputError, match=r"the server answers 404.*it resumes"):
        fetch("numbers", tmp_path)
    assert part.read_bytes() == CONTENT[:200_000]
    assert fetch("numbers", tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=200000-", "bytes=200000-"]


@pytest.mark.parametrize("manner", ["ignores ranges", "416"])
def test_a_server_that_does_not_resume_starts_over(server, part, tmp_path, manner):
    part.write_bytes(CONTENT[:1000])
    server.manner = manner
    assert fetch("numbers", tmp_path).read_bytes() == CONTENT
    assert server.requests[0] == "bytes=1000-"


def test_a_part_longer_than_the_file_is_thrown_away(server, part, tmp_path):
    part.write_bytes(CONTENT + b"more")
    assert fetch("numbers", tmp_path).read_bytes() == CONTENT
    assert server.requests == [None]


def test_a_part_with_other_bytes_is_thrown_away(server, part, tmp_path):
    part.write_bytes(b"x" * 1000)
    assert fetch("numbers", tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-", None]


def test_a_complete_part_needs_no_request(server, part, tmp_path):
    part.write_bytes(CONTENT)
    assert fetch("numbers", tmp_path).read_bytes() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize("length", [len(CONTENT), 3 * len(CONTENT)])
def test_wrong_content_is_removed(server, part, tmp_path, length):
    server.content = b"x" * length
    with pytest.raises(InputError, match="the server sent other content, SHA-256"):
        fetch("numbers", tmp_path)
    assert not part.exists()
    assert not part.with_suffix(".txt").exists()
    assert server.requests == [None]


def test_a_server_that_never_stops_is_left(server, part, tmp_path):
    server.manner = "endless"
    with pytest.raises(InputError, match="the server sent other content"):
        fetch("numbers", tmp_path)
    assert server.client_left.wait(5)
    assert not part.exists()


def test_a_wrong_file_in_the_cache_is_reported_and_kept(server, part, tmp_path):
    path = part.with_suffix(".txt")
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"numbers\.txt is not the data set.*delete"):
        fetch("numbers", tmp_path)
    assert path.read_bytes() == b"something else"
    assert server.requests == []


def test_failures_say_where_to_put_the_file_by_hand(server, tmp_path):
    server.manner = "missing"
    with pytest.raises(InputError, match="404") as failure:
        fetch("numbers", tmp_path)
    message = str(failure.value)
    assert f"/numbers.txt as {tmp_path}/downloads/numbers.txt" in message
    assert "give the path of a text file" in message
    assert "\n" not in message


def test_offline(server, part, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    closed = Dataset(f"http://127.0.0.1:{port}/", SHA256, len(CONTENT))
    monkeypatch.setattr(download, "DATASETS", {"numbers": closed})
    part.write_bytes(CONTENT[:10])
    with pytest.raises(InputError, match=r"cannot download numbers: .*refused"):
        fetch("numbers", tmp_path)
    assert part.read_bytes() == CONTENT[:10]


def test_a_server_that_never_answers(server, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", 0.1)
    server.manner = "hangs"
    with pytest.raises(InputError, match="cannot download numbers: timed out"):
        fetch("numbers", tmp_path)


def test_a_server_that_stalls_half_way(server, part, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", 0.1)
    server.manners, server.manner = ["stalls"], "hangs"
    with pytest.raises(InputError, match="cannot download numbers: timed out"):
        fetch("numbers", tmp_path)
    # What came before is kept, up to a piece that was still being put together.
    assert part.read_bytes() == CONTENT[: part.stat().st_size]
    assert part.stat().st_size > 0


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "downloads").touch()
    with pytest.raises(InputError, match=r"downloads \(File exists\).*JAXTEXT_CACHE"):
        fetch("numbers", tmp_path)


def test_the_known_data_set():
    assert KNOWN["tinyshakespeare"].size == 1_115_394
