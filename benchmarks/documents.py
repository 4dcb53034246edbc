"""What documents a run writes: whole, new, and like the real ones or not.

    python benchmarks/documents.py --workdirs RUN RUN --corpus names.txt --out FILE

The runs are made by ``char_gen.py --documents``. What they write is compared with what
they were trained on: first characters and lengths, by Pearson's chi-square test.
Sessions, in which a run goes on writing after the end of a document, show whether the
first one is as good as a later one. The last line on standard output is JSON.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.scipy.special import gammaincc
from measuring import record
from measuring.command import chosen, command

from jaxtext.errors import InputError
from jaxtext.generation import generate, generate_documents
from jaxtext.runs.checkpoint import Restored, restore_model
from jaxtext.streams import say
from jaxtext.text import Documents, isin, load
from jaxtext.text.modes import Mode

FEWEST = 5  # expected in a class of the test; rarer ones are one class


@dataclass(frozen=True)
class Config:
    """Let runs write documents, and count."""

    workdirs: tuple[Path, ...]
    """Directories of runs on documents."""
    corpus: tuple[str, ...]
    """The text that they were trained on."""
    mode: Mode = "lines"
    """What a document of it is."""
    field: str | None = None
    """The field that it is, for jsonl and csv."""
    documents: int = 1000
    """How many each writes, and how many sessions."""
    length: int = 100
    """Symbols of a document at most."""
    later: int = 10
    """Which document of a session to compare with its first."""
    temperature: float = 1.0
    """The temperature."""
    seed: int = 0
    """That of what is written."""
    out: Path | None = None
    """Also write the JSON to this file."""


def chi_square(found: Sequence[Any], real: Sequence[Any]) -> dict[str, Any]:
    """Compares how often values are found with how often they are real.

    ::

        χ² = Σ (O - E)² / E        E = n times the share among the real ones

    Args:
      found: ``n`` values.
      real: Any number of values.

    Returns:
      χ², the degrees of freedom, and the probability ``p`` of at least this χ² if the
      values that are found were drawn from the real ones.

    Example:
      >>> test = chi_square("aab" * 12, "ab" * 50)
      >>> round(test["chi_square"], 3), test["degrees"], round(test["p"], 4)
      (4.0, 1, 0.0455)
    """
    observed, counts = Counter(found), Counter(real)
    expected = {x: len(found) * n / len(real) for x, n in counts.items()}
    classes = [(observed[x], e) for x, e in expected.items() if e >= FEWEST]
    rare = sum(e for e in expected.values() if e < FEWEST)
    unseen = len(found) - sum(o for o, _ in classes)
    if rare:
        classes.append((unseen, rare))
    elif unseen:  # what is never real
        classes.append((unseen, 1.0))
    value = sum((o - e) ** 2 / e for o, e in classes)
    degrees = len(classes) - 1
    p = float(gammaincc(degrees / 2, value / 2)) if degrees else 1.0
    return {"chi_square": value, "degrees": degrees, "p": p}


def compared(texts: Sequence[np.ndarray], real: Documents) -> dict[str, Any]:
    """First symbols and lengths of some documents, beside those of the real ones."""
    firsts = np.asarray(real.ids[:])[np.asarray(real.ends[:-1]) + 1]
    lengths = np.diff(np.asarray(real.ends)) - 1
    whole = [x for x in texts if len(x)]
    return {
        "first_characters": chi_square([int(x[0]) for x in whole], firsts.tolist()),
        "lengths": chi_square([len(x) for x in texts], lengths.tolist()),
        "mean_length": float(np.mean([len(x) for x in texts])),
        "mean_length_of_real": float(lengths.mean()),
    }


def counted(run: Restored, real: Documents, config: Config) -> dict[str, Any]:
    """What the documents are, each of which is written from its beginning."""
    written = list(
        generate_documents(
            *(run.model, run.params, config.documents),
            length=config.length,
            key=jax.random.key(config.seed),
            temperature=config.temperature,
        )
    )
    known = isin([x.ids for x in written], real)
    kinds = Counter(x.ids.tobytes() for x in written)
    return {
        "documents": len(written),
        "ended": sum(x.ended for x in written),
        "new": int((~known).sum()),
        "duplicates": len(written) - len(kinds),
        **compared([x.ids for x in written], real),
    }


def in_sessions(run: Restored, real: Documents, config: Config) -> dict[str, Any]:
    """The first and a later document of sessions, in which one follows the other."""
    end = run.model.end
    pieces = generate(
        *(run.model, run.params, np.full((config.documents, 1), end)),
        config.later * config.length,
        key=jax.random.key(config.seed + 1),
        temperature=config.temperature,
    )
    first, later = [], []
    for row in np.concatenate(list(pieces), axis=1):
        documents = np.split(row, np.flatnonzero(row == end))[:-1]
        if len(documents) >= config.later:  # else it did not come so far
            first.append(documents[0])
            later.append(documents[config.later - 1][1:])
    return {
        "sessions": len(first),
        "first": compared(first, real),
        "later": compared(later, real),
        "new_first": int((~isin(first, real)).sum()),
        "new_later": int((~isin(later, real)).sum()),
    }


def measure(config: Config) -> dict[str, Any]:
    """Lets every run write, and returns what its documents are like."""
    rows = []
    corpus = load(config.corpus, documents=config.mode, field=config.field)
    real = corpus.documents
    for workdir in config.workdirs:
        run = restore_model(workdir, warn=say)
        if run.vocabulary != corpus.vocabulary:
            raise InputError(
                f"--corpus: expected the text that {workdir} was trained on, got one "
                "with other symbols"
            )
        row = {"run": workdir.name, **counted(run, real, config)}
        row["sessions"] = in_sessions(run, real, config)
        say(
            f"{workdir.name:12} of {row['documents']:,}: {row['ended']:,} ended, "
            f"{row['new']:,} new, {row['duplicates']:,} duplicates; "
            f"p {row['first_characters']['p']:.3f} of first characters, "
            f"{row['lengths']['p']:.3f} of lengths"
        )
        rows.append(row)
    sizes = chosen(config, "documents", "length", "later", "temperature", "seed")
    return {"rows": rows, **sizes, **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
