"""What tells one run from another."""

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from charlm.config import Config
from common.rules import fields_without
from jaxtext.text.folder import RUNS

# What tells runs on documents apart.
OF_DOCUMENTS = ("documents", "field", "document_order", "val_split")


def identity(
    config: Config,
    corpus_sha256: str,
    val_sha256: str | None = None,
    origin: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What makes a run the run that it is. A text's hash stands for its name.

    Args:
      config: The configuration.
      corpus_sha256: That of the text to train on.
      val_sha256: That of the text to validate on, if it is another one.
      origin: What is kept of the run that it starts from, if it starts from one.
    """
    outside = fields_without(Config, "identity")
    fields = dataclasses.asdict(config)
    kept = {k: v for k, v in fields.items() if k not in outside}
    kept |= {"corpus": corpus_sha256, "val_corpus": val_sha256}
    # A run on one text is what it was before there were documents.
    if config.documents not in (None, "none"):
        kept |= {name: fields[name] for name in OF_DOCUMENTS}
    if origin is not None:
        kept["init_from"] = origin
    return json.loads(json.dumps(kept))  # as it will be read


def texts_before_documents(config: Config) -> set[str]:
    """Hashes of texts that runs in default directories read as one text each.

    Of other runs than those with this configuration, nothing is returned. A run on
    several files that began before there were documents goes on as it was.
    """
    own = identity(dataclasses.replace(config, documents="none"), "")
    apart = {"corpus", "val_corpus", "init_from", "fitted"}
    found = set[str]()
    for path in RUNS.glob(f"*-{config.cell}-*/config.json"):
        with contextlib.suppress(OSError, ValueError):
            kept: Any = json.loads(path.read_bytes())
            if {k: x for k, x in kept.items() if k not in apart} == {
                k: x for k, x in own.items() if k not in apart
            }:
                found.add(kept["corpus"])
    return found


def default_workdir(corpus_name: str, identity: dict[str, Any]) -> Path:
    """``runs/{corpus}-{cell}-{hash of the configuration}``.

    If the text had another name when its run began, that run's directory is returned:
    the hash is the same.
    """
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    what = f"-{identity['cell']}-{digest[:8]}"
    path = RUNS / f"{corpus_name}{what}"
    found = sorted(RUNS.glob(f"*{what}/config.json"))
    return path if path.exists() or not found else found[0].parent
