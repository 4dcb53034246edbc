"""Flags to capture XLA's loops as CUDA graphs, so that the CPU launches them once."""

from jaxtext import versions

GRAPHS = "+graphs"  # the suffix of names that are measured with them
_FLAGS = (
    "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL,+DYNAMIC_SLICE_FUSION",
    "--xla_gpu_graph_min_graph_size=1",
)


def with_graphs() -> str | None:
    """The value of ``XLA_FLAGS`` with them, or ``None`` if XLA may not know them."""
    if len(versions.known_flags(*_FLAGS)) < len(_FLAGS):
        return None
    return versions.with_flags(*_FLAGS)
