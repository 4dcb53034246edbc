"""Metrics in TensorBoard and Weights & Biases. Their errors never end a run."""

import importlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from jaxtext.errors import InputError
from jaxtext.runs.log import Record
from jaxtext.runs.storage import storage

Say = Callable[[str], None]


class _Tracker(Protocol):
    def write(self, record: Record) -> None: ...
    def go_back(self, step: int) -> None: ...
    def close(self) -> None: ...


class Trackers:
    """The trackers of a run. One that fails is reported, and no longer used.

    Args:
      workdir: The run's directory.
      folder: Where their files go: the same, or another that is copied there.
      names: Some of tensorboard and wandb.
      step: The step that the run continues from, ``None`` for a new run.
      say: Takes a sentence.

    Raises:
      InputError: If one of them cannot begin.
    """

    def __init__(
        self, workdir: Path, folder: Path, names: list[str], step: int | None, say: Say
    ):
        self._say = say
        self._open: dict[str, _Tracker] = {}
        for name in names:
            try:
                make = {"tensorboard": _TensorBoard, "wandb": _WandB}[name]
                self._open[name] = make(workdir, folder, step)
            except Exception as error:  # whatever a client of a service may raise
                raise InputError(
                    f"--{name}: it cannot begin ({_line(error)}); mend that, or leave "
                    "the flag out"
                ) from error

    def write(self, record: Record) -> None:
        """Takes a record of the metrics log."""
        self._each("write", record)

    def go_back(self, step: int) -> None:
        """Drops what came after a step."""
        self._each("go_back", step)

    def close(self) -> None:
        """Sends what has not been sent yet."""
        self._each("close")

    def _each(self, what: str, *args: Any) -> None:
        for name, tracker in list(self._open.items()):
            try:
                getattr(tracker, what)(*args)
            except Exception as error:
                del self._open[name]
                self._say(
                    f"{name} takes no more metrics ({_line(error)}); training goes on, "
                    "and metrics.jsonl has them all"
                )


class _TensorBoard:
    def __init__(self, workdir, folder, step):
        del workdir
        self._workdir = folder
        self._begin(step)

    def _begin(self, step):
        client = importlib.import_module("tensorboardX")
        # TensorBoard then hides what another process wrote of later steps, be it one
        # that was killed before it had saved anything.
        after = (step or 0) + 1
        # Names of files have the second that they began in, and may be the same.
        count = sum(1 for _ in self._workdir.glob("events.out.tfevents.*"))
        self._writer = client.SummaryWriter(
            str(self._workdir), purge_step=after, filename_suffix=f".{count:06}"
        )

    def write(self, record):
        for name, value in record.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name, value, record["step"])
        self._writer.flush()

    def go_back(self, step):
        self._writer.close()
        self._begin(step)

    def close(self):
        self._writer.close()


class _WandB:
    def __init__(self, workdir, folder, step):
        del step  # it knows the last one itself
        self._client = importlib.import_module("wandb")
        self._client.init(
            project="jaxtext",
            name=workdir.resolve().name,
            dir=str(folder),
            id=_kept_id(workdir),
            resume="allow",  # the run of this id if there is one, else a new one
        )

    def write(self, record):
        self._client.log(record, step=record["step"])

    def go_back(self, step):
        """Nothing is taken back there: it leaves out steps that it has seen."""

    def close(self):
        self._client.finish()


def _kept_id(workdir):
    """The id that the run holds, which is a new one at first."""
    kept = storage(workdir)
    found = kept.read("wandb-id")
    if found is None:
        kept.write("wandb-id", found := secrets.token_hex(8).encode())
    return found.decode().strip()


def _line(error):
    return " ".join(str(error).split()) or type(error).__name__
