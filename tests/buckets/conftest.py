"""Servers of object storage, one of each kind for the whole session."""

import asyncio
import contextlib
import itertools
import types

import object_store
import pytest

from jaxtext import buckets


@pytest.fixture(scope="session")
def _servers():
    """Starts a server when it is first asked for."""
    with contextlib.ExitStack() as stack:
        started = {}

        def server(scheme):
            if scheme not in started:
                try:
                    store = stack.enter_context(object_store.serving(scheme))
                except ImportError as error:
                    pytest.skip(f"needs the extra test-buckets ({error})")
                stack.enter_context(object_store.found_by_this_process(store))
                started[scheme] = store
            return started[scheme]

        yield server


@pytest.fixture(params=["s3", "gs"])
def store(request, _servers):
    """A server of object storage with a bucket, and no faults yet."""
    pytest.importorskip(
        {"s3": "s3fs", "gs": "gcsfs"}[request.param],
        reason="needs the extra test-buckets",
    )
    found = _servers(request.param)
    yield found
    found.fault = lambda method, path: None


_folders = itertools.count(1)


@pytest.fixture
def folder(store):
    """A name that no object of the bucket begins with."""
    return f"folder-{next(_folders)}"


@pytest.fixture
def impatient(store, monkeypatch):
    """Requests are tried again for a second only, and gcsfs waits no longer either."""
    monkeypatch.setattr(buckets, "PATIENCE", 1.0)
    if store.scheme == "gs":
        from gcsfs import retry

        async def sleep(seconds):
            await asyncio.sleep(seconds / 100)

        monkeypatch.setattr(retry, "asyncio", types.SimpleNamespace(sleep=sleep))
