"""A web server that misbehaves as told, and little patience with it."""

import pytest
import web_server

from jaxtext import buckets


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(buckets, "PATIENCE", 0.0)
    with web_server.serving() as server:
        yield server


@pytest.fixture
def patient(monkeypatch):
    """Requests are tried again, after very short pauses."""
    monkeypatch.setattr(buckets, "PATIENCE", 10.0)
    monkeypatch.setattr(buckets, "_PAUSES", (0.001, 0.01))
