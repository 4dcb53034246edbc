"""Products with symbols, whatever their type."""

import jax.numpy as jnp
import numpy as np

from jaxtext.kernels.products import one_hot


def test_rows_are_wider_than_what_eight_bits_count():
    found = one_hot(jnp.array([[1, 255]], jnp.uint8), 300, jnp.float32)
    np.testing.assert_array_equal(found, np.eye(300, dtype=np.float32)[[[1, 255]]])
