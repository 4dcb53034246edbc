"""What counts as asking for more than TF32."""

import jax
import pytest

from jaxtext.kernels.precision import tf32_will_do


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        *((name, True) for name in (None, "default", "bfloat16", "tensorfloat32")),
        *((name, True) for name in ("high", "TF32_TF32_F32", "BF16_BF16_F32")),
        *((name, False) for name in ("highest", "float32", "F32_F32_F32")),
        *((name, False) for name in ("TF32_TF32_F32_X3", "BF16_BF16_F32_X6")),
    ],
)
def test_what_asks_for_more(asked, expected):
    with jax.default_matmul_precision(asked):
        assert tf32_will_do() is expected
