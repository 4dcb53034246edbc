"""Tests that change a module's constants are traced anew."""

import jax
import pytest

_changed = jax.make_user_context(None)


@pytest.fixture(autouse=True)
def _traced_anew(request):
    """JAX keeps a trace by the function that was traced and by the context.

    So a test that patches a constant would get the trace of the test before it. Such
    tests have a context of their own.
    """
    if "monkeypatch" not in request.fixturenames:
        yield
        return
    with _changed(object()):
        yield
