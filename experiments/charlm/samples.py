"""Samples that a run prints while it trains."""

import jax
import numpy as np

from charlm.run import Run
from common.screen import Screen
from jaxtext.generation import generate
from jaxtext.text import Vocabulary

LENGTH = 200


def neutral_prompt(vocabulary: Vocabulary) -> str:
    """The default prompt: a new line, if the text has lines."""
    if vocabulary.kind == "bytes" or "\n" in vocabulary.characters:
        return "\n"
    return vocabulary.characters[0]


def neutral_ids(vocabulary: Vocabulary) -> np.ndarray:
    """The ids of the default prompt: of documents, the symbol that begins one."""
    if vocabulary.end is not None:
        return np.array([vocabulary.end], vocabulary.dtype)
    return vocabulary.encode(neutral_prompt(vocabulary))


def print_samples(run: Run, display: Screen) -> None:
    """Prints what the model writes now, in the way of its preset. Process 0 prints."""
    if jax.process_index() > 0:
        return
    with run.spent.on("sampling"):
        if run.config.preset == "tutorial":
            _print_tutorial_samples(run, display)
        else:
            _print_sample(run, display)


def _print_sample(run, display):
    vocabulary = run.corpus.vocabulary
    prompt = neutral_ids(vocabulary)
    display.say(
        f"----- sample at step {run.progress.step}, temperature 0.8", style="bold"
    )
    display.say(vocabulary.decode(_continue(run, prompt, 0.8)), verbatim=True)
    display.say("-----", style="bold")


def _print_tutorial_samples(run, display):
    """A random stretch of the text, continued at two diversities."""
    ids = run.corpus.ids
    rng = np.random.default_rng((run.config.seed, run.progress.step))
    start = rng.integers(max(1, len(ids) - LENGTH))
    prompt = np.asarray(ids[start : start + LENGTH])
    decode = run.corpus.vocabulary.decode
    for diversity in (0.5, 1.2):
        display.say(f"----- diversity: {diversity}", style="bold")
        seed = f'----- Generating with seed: "{decode(prompt)}"'
        display.say(seed, verbatim=True)
        written = decode(prompt) + decode(_continue(run, prompt, diversity))
        display.say(written, verbatim=True)
        display.say()


def _continue(run, prompt, temperature):
    key = jax.random.fold_in(jax.random.key(run.config.seed), run.progress.step)
    params = run.parallel.params(run.progress.state)
    pieces = generate(
        run.model, params, prompt[None], LENGTH, key=key, temperature=temperature
    )
    written = []
    for piece in pieces:
        run.stop.check()
        written.append(piece[0])
    return np.concatenate(written)
