"""XLA's loops captured as CUDA graphs, which take their launches off the processor."""

from jaxtext import versions

GRAPHS = "+graphs"  # ends the name of what is measured with them
_FLAGS = (
    "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL,+DYNAMIC_SLICE_FUSION",
    "--xla_gpu_graph_min_graph_size=1",
)


def with_graphs() -> str | None:
    """The value of ``XLA_FLAGS`` with them; ``None`` if XLA may not know the flags."""
    if len(versions.known_flags(*_FLAGS)) < len(_FLAGS):
        return None
    return versions.with_flags(*_FLAGS)
