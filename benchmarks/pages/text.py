"""Tables of text quality, from what ``quality.py`` wrote."""

import json

from measuring.jobs import CHECKOUT
from measuring.markdown import markdown
from studies.tables import Line, read, spread, table
from studies.variants import STUDIES

RESULTS = CHECKOUT / "experiments" / "results"
# Written by transformer.py: what the file is about, and the windows to report.
TRANSFORMERS = {
    "transformer-torch.json": ("nanoGPT's CPU configuration in PyTorch", "cold-64"),
    "transformer-flax.json": ("a Transformer in Flax", "cold-256"),
}
TEXT = "tinyshakespeare"
OTHERS = {"names": "names-train"}  # the text of a study that is not on that one
# Reported by others: model, parameters, hardware and time, nats a character.
PUBLISHED = (
    ("minGRU and minLSTM, as published", "", "GPU", "1.548 and 1.555"),
    ("nanoGPT's Transformer, as published", "10.7 M", "A100, 3 min", "1.4697"),
)


def study(name: str, *columns: str) -> str:
    """A row for each variant of a study on its text."""
    return table(_lines(name), columns)


def best() -> str:
    """What the presets reach, beside what others report."""
    rows = []
    for preset in ("cpu-3min", "shakespeare"):
        lines = _lines(preset)
        for cell in ("LSTM", "GRU"):
            own = [line for line in lines if line["variant"] == cell]
            if not own:
                continue
            seeds = f"{len(own)} seeds" if len(own) > 1 else "one seed"
            rows.append(
                [
                    f"`--preset {preset}`, {cell}, {seeds}",
                    f"{own[0]['trained']['parameters'] / 1e6:.1f} M",
                    _time(own),
                    spread(own, _nats, 3),
                ]
            )
    return markdown(
        ("model", "parameters", "hardware, time", "nats a character"),
        [*rows, *_transformers(), *PUBLISHED],
    )


def _transformers():
    """What Transformers reached in the minutes of cpu-3min, on the same machine."""
    for file, (name, protocol) in TRANSFORMERS.items():
        run = json.loads((CHECKOUT / "benchmarks" / "results" / file).read_text())
        windows = "" if protocol == "cold-256" else f", windows of {protocol[5:]}"
        yield (
            f"{name}, one seed{windows}",
            f"{run['parameters'] / 1e6:.1f} M",
            f"{run['hardware']['cores']} CPU cores, {run['minutes']:.0f} min",
            f"{run['nats_per_char'][protocol]:.3f}",
        )


def _time(lines):
    """The processor cores, and the minutes of the whole process."""
    (cores,) = {line["hardware"]["cores"] for line in lines}
    minutes = [line["wall_seconds"] / 60 for line in lines if line["wall_seconds"]]
    least, most = (f"{end(minutes):.0f}" for end in (min, max))
    span = least if least == most else f"{least} to {most}"
    return f"{cores} CPU core{'s' if cores > 1 else ''}, {span} min"


def _nats(line: Line) -> float:
    return line["evaluated"]["best cold-256"]["nats_per_char"]


def _lines(name):
    """The lines of a study, in the order of its variants; then those of others."""
    order = [variant.name for variant in STUDIES[name].variants]
    lines = read(RESULTS / f"{name}.jsonl")
    text = OTHERS.get(name, TEXT)
    lines = [line for line in lines if line["trained"]["corpus"] == text]
    found = dict.fromkeys([*order, *(line["variant"] for line in lines)])
    return sorted(lines, key=lambda line: list(found).index(line["variant"]))
