"""draw_trace.py: a trace of JAX's profiler as a picture."""

import json

import draw_trace
import jax
import jax.numpy as jnp
from draw_trace import Span, joined


def test_spans_are_joined():
    spans = [Span(5, 6), Span(0, 2), Span(1, 1.5), Span(2, 3), Span(3.1, 4)]
    assert joined(spans) == [Span(0, 3), Span(3.1, 4), Span(5, 6)]
    assert joined(spans, gap=0.2) == [Span(0, 4), Span(5, 6)]


def test_a_trace_is_drawn(tmp_path, capsys):
    product = jax.jit(lambda x: x @ x)
    x = product(jnp.ones((300, 300)))
    with jax.profiler.trace(tmp_path / "trace"):
        for k in range(3):
            with jax.profiler.StepTraceAnnotation("train", step_num=k):
                product(x).block_until_ready()
    out = tmp_path / "trace.png"
    assert draw_trace.main(["--trace", str(tmp_path), "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 3
    assert 0 < found["busy"] <= 1
    assert out.read_bytes().startswith(b"\x89PNG")


def test_no_trace_is_told(tmp_path, capsys):
    words = ["--trace", str(tmp_path), "--out", str(tmp_path / "x.png")]
    assert draw_trace.main(words) == 2
    assert "expected a trace in" in capsys.readouterr().err
