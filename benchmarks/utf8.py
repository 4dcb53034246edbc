"""How much of what models over bytes write is lost to U+FFFD, and with the constraint.

    python benchmarks/utf8.py --workdirs RUN RUN --out benchmarks/results/utf8.json

The runs are made by ``char_gen.py --vocab bytes``. A byte is lost if it belongs to no
well-formed character. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import record
from measuring.command import chosen, command
from measuring.jobs import CHECKOUT

from jaxtext.streams import say


@dataclass(frozen=True)
class Config:
    """Count the bytes that are not UTF-8."""

    workdirs: tuple[Path, ...]
    """Directories of runs over bytes."""
    texts: int = 250
    """How many texts each writes."""
    length: int = 1000
    """Bytes of each text."""
    temperature: float = 1.5
    """The temperature."""
    out: Path | None = None
    """Also write the JSON to this file."""


def lost(raw: bytes) -> int:
    """How many bytes belong to no well-formed character."""
    return len(raw) - len(raw.decode(errors="ignore").encode())


def written(workdir: Path, config: Config, utf8: bool) -> list[bytes]:
    """The texts that a run writes, with or without the constraint."""
    flags = ["--count", config.texts, "--length", config.length]
    flags += ["--temperature", config.temperature, *(["--utf8"] if utf8 else [])]
    script = CHECKOUT / "experiments" / "sample.py"
    command = [sys.executable, script, "--workdir", workdir, "--jsonl", *flags]
    lines = subprocess.check_output([str(x) for x in command]).splitlines()
    texts = map(json.loads, lines)
    return [
        bytes.fromhex(x["hex"]) if "hex" in x else x["text"].encode() for x in texts
    ]


def measure(config: Config) -> dict[str, Any]:
    """Lets every run write both ways, and returns what was lost."""
    rows = []
    for workdir in config.workdirs:
        row: dict[str, Any] = {"run": workdir.name}
        for name, utf8 in (("without", False), ("with", True)):
            texts = written(workdir, config, utf8)
            size = sum(map(len, texts))
            row[name] = {
                "bytes": size,
                "lost": sum(map(lost, texts)) / size,
                "texts_not_utf8": sum(lost(raw) > 0 for raw in texts),
            }
        said = f"{row['without']['lost']:.2%} lost, {row['with']['lost']:.2%} with utf8"
        say(f"{workdir.name:12} {said}")
        rows.append(row)
    sizes = chosen(config, "texts", "length", "temperature")
    return {"rows": rows, **sizes, **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
