"""How exact products of float32 have to be, by what JAX was told."""

import jax

_PRECISION = "jax_default_matmul_precision"  # pyright knows no options of JAX

# Those that ask for no more than TF32: names of a `jax.lax.Precision`, and of a
# `jax.lax.DotAlgorithmPreset`.
_NO_MORE_THAN_TF32 = {
    *("none", "default", "fastest", "bfloat16", "high", "bfloat16_3x"),
    *("tensorfloat32", "tf32_tf32_f32"),
    *("bf16_bf16_bf16", "bf16_bf16_f32", "f16_f16_f16", "f16_f16_f32"),
}


def tf32_will_do() -> bool:
    """Whether a GPU may multiply float32 as TF32, which has 10 bits of mantissa.

    That is so by default, and where ``jax_default_matmul_precision`` is no more exact.

    Example:
      >>> tf32_will_do()
      True
      >>> with jax.default_matmul_precision("highest"):
      ...     tf32_will_do()
      False
    """
    asked = getattr(jax.config, _PRECISION)
    return str(getattr(asked, "name", asked)).lower() in _NO_MORE_THAN_TF32
