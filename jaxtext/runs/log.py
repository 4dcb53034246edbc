"""The metrics of a run: JSON lines in its directory.

Neither writing the log nor reading it takes more memory for a longer run.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jaxtext.buckets import place
from jaxtext.runs.storage import storage

Record = dict[str, Any]
METRICS = "metrics.jsonl"
_BLOCK = 1 << 16  # bytes read at once from the end of a log; a record has fewer


class MetricsLog:
    """Appends records to ``metrics.jsonl``, one JSON object a line, each with a step.

    A run that continues from a checkpoint repeats the steps after it. So a checkpoint
    keeps the `size` of the log, and a log that is opened with that size drops what was
    written later, including an incomplete last line left by a killed process.

    Args:
      workdir: The run's directory.
      size: How many bytes to keep. Default: all whole records.

    Example:
      >>> import tempfile
      >>> directory = Path(tempfile.mkdtemp())
      >>> log = MetricsLog(directory)
      >>> log.append({"step": 10, "loss": 2.5})
      >>> size = log.size
      >>> log.append({"step": 20, "loss": 2.0})
      >>> list(MetricsLog(directory, size).records())
      [{'step': 10, 'loss': 2.5}]
    """

    def __init__(self, workdir: Path | str, size: int | None = None):
        run = storage(workdir)
        self.path: Path = run.place / METRICS
        self._log = run.log(METRICS)
        self._unwritten = b""
        self.rewind(size)

    @property
    def size(self) -> int:
        """The bytes of all records, also of those that could not be written yet."""
        return self._log.size + len(self._unwritten)

    def rewind(self, size: int | None = None) -> None:
        """Drops all records that end after the first `size` bytes."""
        with self._log.open() as file:
            end = _end_of_records(file, size)
        self._log.rewind(end)
        self._unwritten = b""

    def append(self, record: Record) -> None:
        """Adds a record. On a disk, it is in the file when this returns.

        In a bucket, it is there when the next checkpoint is, and mostly sooner.

        Raises:
          OSError: If it cannot be written. The next call to `append` or `flush` writes
            it too.
        """
        self._unwritten += (json.dumps(record) + "\n").encode()
        self._write()

    def flush(self) -> None:
        """Writes what was not written before, and returns when readers see it.

        Raises:
          OSError: If that fails.
        """
        self._write()
        self._log.flush()

    def records(self) -> Iterator[Record]:
        """Reads the records from the first to the last, one at a time."""
        with self._log.open() as file:
            for record, _ in _records(file):
                yield record
        for record, _ in _records(self._unwritten.splitlines(keepends=True)):
            yield record

    def size_of(self, count: int) -> int:
        """The bytes of the first `count` records, or of all if there are fewer."""
        size = 0
        with self._log.open() as file:
            for _, (_, length) in zip(range(count), _records(file), strict=False):
                size += length
        return size

    def _write(self):
        if self._unwritten:
            self._log.append(self._unwritten)
            self._unwritten = b""


def iterate_metrics(path: Path | str) -> Iterator[Record]:
    """Reads a log's records one at a time, up to the first line that is not a record.

    There are none if there is no such file. The log may grow meanwhile.
    """
    path = place(path)
    with storage(path.parent).opened(path.name) as file:
        for record, _ in _records(file or ()):
            yield record


def read_metrics(path: Path | str) -> list[Record]:
    """Returns the records of `iterate_metrics` in a list."""
    return list(iterate_metrics(path))


def _records(lines: Iterable[bytes]) -> Iterator[tuple[Record, int]]:
    """The records of a log, each with the bytes of its line, up to what is none."""
    for line in lines:
        record = _record(line)
        if record is None:
            break
        yield record, len(line)


def _record(line: bytes) -> Record | None:
    """The record of a line; ``None`` if it is none, or not all of one."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "step" in record else None


def _end_of_records(file: BinaryIO, size: int | None) -> int:
    """Where the last record ends that has no more than `size` bytes up to its end.

    A power failure may leave a last line that is damaged, so lines are looked at from
    the end on, until one is a record.
    """
    there = file.seek(0, os.SEEK_END)
    size = there if size is None else min(size, there)
    while size:
        begin = max(0, size - _BLOCK)
        file.seek(begin)
        block = file.read(size - begin)
        # The rest of a line that begins in the block before.
        rest = block.find(b"\n") + 1 if begin else 0
        whole = len(block)
        while block:
            end = block.rfind(b"\n") + 1
            start = block.rfind(b"\n", 0, max(0, end - 1)) + 1
            if _record(block[start:end]) is not None:
                return begin + end
            block = block[: start if end == len(block) else end]
        size = begin + (rest if rest < whole else 0)
    return 0
