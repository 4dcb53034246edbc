"""What `auto` goes by: the table, and which of its rows count."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxtext as jt
from jaxtext import evidence
from jaxtext.evidence import Question, Row, ranked

ROOT = Path(__file__).parents[1]
H100 = jt.Target("gpu", "NVIDIA H100 80GB HBM3")
PUBLISHED = Row("gpu", ("cudnn",), "published", cell="lstm", dtype="float32")
SMALL = Row("gpu", ("fused",), "small", "lstm", "float32", False, (128, 16))
LARGE = Row("gpu", ("scan",), "large", "lstm", "float32", False, (1024, 16))
ANEW = Row("gpu", ("scan",), "with resets", "lstm", "float32", True, (128, 16))
TABLE = PUBLISHED, SMALL, LARGE, ANEW


def asked(**changes):
    question = Question("gpu", "lstm", "float32", False, 128, 16)
    return [why for _, why in ranked(question._replace(**changes), TABLE)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["small", "published"]),
        ({"hidden": 300, "batch": 1}, ["small", "published"]),
        ({"hidden": 900}, ["large", "published"]),
        ({"hidden": 4096, "batch": 0}, ["large", "published"]),
        ({"resets": True}, ["with resets", "published"]),
        ({"dtype": "bfloat16"}, []),
        ({"cell": "gru"}, []),
        ({"platform": "cpu"}, []),
    ],
)
def test_the_nearest_measurement_comes_before_what_holds_everywhere(changes, expected):
    assert asked(**changes) == expected


@pytest.mark.parametrize(("hidden", "expected"), [(128, "fused"), (1024, "scan")])
def test_auto_goes_by_the_nearest(hidden, expected, monkeypatch):
    monkeypatch.setattr(evidence.ranked, "__defaults__", (TABLE,))
    cell = jt.lstm(hidden)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 8))
    xs = jax.ShapeDtypeStruct((16, 4), jnp.int32)
    (reason,) = jt.explain_backend(
        cell, params, cell.initial_state((16,)), xs, target=H100
    )
    assert reason == f"{expected}: {'small' if expected == 'fused' else 'large'}"


def test_evidence_is_where_it_is_said_to_be():
    for row in evidence.TABLE:
        (named,) = re.findall(r"\(([\w/.-]+)\)", row.evidence)
        assert (ROOT / named).exists()
