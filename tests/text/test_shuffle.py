"""Permutations that are computed where they are asked."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxtext.text.shuffle import shuffled


@given(count=st.integers(1, 3000), seed=st.integers(0, 2**64))
@settings(max_examples=50, deadline=None)
def test_every_number_once(count, seed):
    order = shuffled(np.arange(count), count, (seed, 0))
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(count))


@pytest.mark.parametrize("count", [10**9, 2**40 + 1, 2**61 + 1])
def test_numbers_of_a_long_list(count):
    places = np.concatenate([np.arange(5000), count - 1 - np.arange(5000)])
    numbers = shuffled(places, count, (0, 0))
    assert len(set(numbers.tolist())) == 10_000
    assert numbers.min() >= 0
    assert numbers.max() < count
    tenths = np.histogram(numbers / count, 10, (0, 1))[0]
    assert abs(tenths - 1000).max() < 150  # five times its standard deviation


def test_a_place_does_not_depend_on_what_else_is_asked():
    order = shuffled(np.arange(1000), 1000, (3, 1))
    for places in ([7], [999, 0, 7], range(100, 200)):
        asked = np.array(places)
        np.testing.assert_array_equal(shuffled(asked, 1000, (3, 1)), order[asked])


def test_all_orders_of_three_are_about_as_likely():
    orders = Counter(
        tuple(shuffled(np.arange(3), 3, (seed, 0)).tolist()) for seed in range(3000)
    )
    assert set(orders) == set(permutations(range(3)))
    assert min(orders.values()) > 400
    assert max(orders.values()) < 600


def test_orders_look_random():
    orders = np.array([shuffled(np.arange(1000), 1000, (9, e)) for e in range(500)])
    # One number in each order is where it was, on average and in its variance.
    fixed = (orders == np.arange(1000)).sum(axis=1)
    assert fixed.mean() == pytest.approx(1, abs=0.2)
    assert fixed.var() == pytest.approx(1, abs=0.3)
    # So are neighbours that stay neighbours.
    assert (np.diff(orders) == 1).sum(axis=1).mean() == pytest.approx(1, abs=0.2)
    # Neither places nor seeds go together: correlations are 0.045 and 0.032 by chance.
    assert abs(np.corrcoef(orders[:, 0], orders[:, 1])[0, 1]) < 0.2
    assert abs(np.corrcoef(orders[0], orders[1])[0, 1]) < 0.15
