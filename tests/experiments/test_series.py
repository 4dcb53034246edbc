"""A bounded number of points, as a function of those that came."""

import numpy as np
import pytest

from charlm.series import Series


def of(values, most):
    series = Series(most)
    for place, value in enumerate(values):
        series.add(place, value)
    return series.points()


def test_few_points_are_kept_as_they_are():
    values = np.random.default_rng(0).normal(size=64).tolist()
    assert of(values, 64) == list(enumerate(values))


@pytest.mark.parametrize("count", [65, 127, 128, 129, 1000, 4096, 5001])
def test_many_are_means_of_equally_many_neighbours(count):
    values = np.random.default_rng(count).normal(size=count)
    points = of(values, 64)
    assert 32 <= len(points) <= 65
    each = int(points[0][0]) + 1
    assert each == 2 ** round(np.log2(each)) > 1
    for k, (place, mean) in enumerate(points):
        block = values[k * each : (k + 1) * each]
        assert place == min((k + 1) * each, count) - 1
        np.testing.assert_allclose(mean, block.mean(), rtol=1e-12, atol=1e-12)
    assert points[-1][0] == count - 1
