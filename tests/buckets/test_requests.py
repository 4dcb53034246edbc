"""Requests to a store: what is tried again, and what its errors mean."""

import errno
import subprocess
import sys

import pytest

from jaxtext import buckets
from jaxtext.errors import InputError


def test_objects_are_written_listed_and_read(store, folder):
    fs, url = buckets.filesystem(store.url()), store.url(f"{folder}/a")
    data = bytes(range(256)) * 33 + b"\r\n\n--"
    buckets.retried(lambda: fs.pipe_file(url, data), url)
    assert store.read(f"{folder}/a") == data
    assert buckets.retried(lambda: fs.cat_file(url), url) == data
    assert [x.split("/", 1)[1] for x in fs.find(store.url(folder))] == [f"{folder}/a"]


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n--==0==\n", b"\n--==0==--", b""])
@pytest.mark.parametrize("begin", [b"", b"1"])
def test_contents_come_back_to_the_last_byte(store, folder, tmp_path, begin, end):
    """Also those that resemble the boundary between two parts of an upload."""
    objects, path = buckets.Objects(store.url(folder)), tmp_path / "file"
    objects.write("a", begin + end)
    path.write_bytes(begin + end)
    objects.upload("b", path)
    assert objects.read("a") == objects.read("b") == begin + end


def test_an_object_is_created_once(store, folder):
    fs, url = buckets.filesystem(store.url()), store.url(f"{folder}/a")
    buckets.retried(lambda: fs.pipe_file(url, b"1", mode="create"), url)
    with pytest.raises(FileExistsError, match="there already"):
        buckets.retried(lambda: fs.pipe_file(url, b"2", mode="create"), url)
    assert store.read(f"{folder}/a") == b"1"


@pytest.mark.parametrize("fault", ["500", "503", "429", "refused", "lost", "cut"])
def test_what_may_pass_is_tried_again(fault, store, folder, impatient, monkeypatch):
    monkeypatch.setattr(buckets, "PATIENCE", 20.0)
    store.write(f"{folder}/a", b"text")
    fs, url = buckets.filesystem(store.url()), store.url(f"{folder}/a")
    left = [fault] * 2
    store.fault = lambda method, path: left.pop() if left else None
    assert buckets.retried(lambda: fs.cat_file(url), url) == b"text"
    assert not left


@pytest.mark.parametrize("fault", ["503", "refused"])
def test_a_store_that_stays_away_is_told_in_one_line(fault, store, impatient):
    fs, url = buckets.filesystem(store.url()), store.url("a")
    store.fault = lambda method, path: fault
    with pytest.raises(TimeoutError) as told:
        buckets.retried(lambda: fs.pipe_file(url, b""), url)
    assert told.value.errno == errno.ETIMEDOUT
    assert "\n" not in told.value.strerror


def test_no_permission_is_not_tried_again(store):
    fs, url = buckets.filesystem(store.url()), store.url("a")
    store.fault, before = lambda method, path: "403", store.requests
    with pytest.raises(PermissionError, match="no permission"):
        buckets.retried(lambda: fs.pipe_file(url, b""), url)
    assert store.requests == before + 1
    with (
        pytest.raises(InputError, match=r"cannot use .*no permission.*credentials"),
        buckets.explained(url),
    ):
        buckets.retried(lambda: fs.pipe_file(url, b""), url)


def test_a_bucket_that_is_not_there(store):
    fs, url = buckets.filesystem(store.url()), f"{store.scheme}://no-such-bucket/a"
    with pytest.raises(FileNotFoundError):
        buckets.retried(lambda: fs.pipe_file(url, b""), url)


def test_errors_of_other_code_are_not_explained():
    with pytest.raises(ZeroDivisionError):
        buckets.retried(lambda: 1 // 0, "gs://bucket/a")


@pytest.mark.parametrize("url", ["ftp://host/a", "gcs://bucket/a", "s3a://bucket/a"])
def test_an_unknown_scheme_is_told(url):
    with pytest.raises(InputError, match=f"expected gs:// or s3://, got {url}"):
        buckets.filesystem(url)


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [("gs://b/a", "gcsfs", "gcs"), ("s3://b/a", "s3fs", "s3")],
)
def test_a_missing_extra_is_told_with_the_command(url, module, extra):
    code = f"""
import sys
sys.modules[{module!r}] = None
from jaxtext import buckets
try:
    buckets.filesystem({url!r})
except ValueError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert f"pip install 'jaxtext[{extra}]'" in told.stdout
    assert told.stdout.count("\n") == 1


def test_no_credentials_are_told():
    pytest.importorskip("s3fs", reason="needs the extra test-buckets")
    code = """
from jaxtext import buckets
fs = buckets.filesystem("s3://b/a")
try:
    with buckets.explained("s3://b/a"):
        buckets.retried(lambda: fs.cat_file("s3://b/a"), "s3://b/a")
except ValueError as error:
    print(error)
"""
    environment = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/nowhere",
        "PYTHONPATH": ":".join(sys.path),
    }
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert "no credentials" in told.stdout
    assert "aws configure" in told.stdout
    assert told.stderr == ""
