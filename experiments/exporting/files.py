"""A trained network as a file for other programs, in each form but the page."""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import jaxtext as jt
from jaxtext.files import write_durably
from jaxtext.interop.peer import peer
from jaxtext.interop.written import written
from jaxtext.text import Vocabulary
from jaxtext.types import Params


class Run(NamedTuple):
    """What was trained.

    Attributes:
      workdir: The run's directory.
      about: What its checkpoint holds beside its arrays.
      model: The model.
      params: Its parameters.
      vocabulary: What its symbols are.
      checkpoint: Which checkpoint the parameters are of, in words.
    """

    workdir: Path
    about: dict[str, Any]
    model: jt.LanguageModel
    params: Params
    vocabulary: Vocabulary
    checkpoint: str

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.workdir.resolve().name


def write_safetensors(run: Run, out: Path) -> None:
    """Writes arrays, configuration and vocabulary, and where they are from."""
    origin = {
        "run": run.name,
        "trained on": run.about["corpus"]["name"],
        "checkpoint": run.checkpoint,
    }
    jt.interop.save_safetensors(
        out, run.model, run.params, run.vocabulary, about=origin
    )


def write_jax(run: Run, out: Path) -> None:
    """Writes functions that need JAX alone."""
    jt.interop.save_exported(out, run.model, run.params, run.vocabulary)


def write_torch(run: Run, out: Path) -> None:
    """Writes the ``state_dict`` of a PyTorch module, configuration and vocabulary."""
    torch = peer("torch", "torch")
    module = jt.interop.to_torch_language_model(run.model, run.params)
    file = io.BytesIO()
    told = {
        "state_dict": module.state_dict(),
        "model": json.dumps(written(run.model)),
        "vocabulary": json.dumps(run.vocabulary.to_json()),
    }
    torch.save(told, file)
    write_durably(out, file.getvalue())
