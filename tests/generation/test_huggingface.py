"""The rules of decoding against the processors of Hugging Face's Transformers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtext.generation import Decoding, process

torch = pytest.importorskip("torch", reason="without torch")
transformers = pytest.importorskip("transformers", reason="without transformers")

ROWS, V, READ = 1000, 65, 30
STOP, FORBID = [7, 31], [3, 50]

OPTIONS = {
    "temperature": {"temperature": 0.7},
    "repetition_penalty": {"repetition_penalty": 1.3},
    "top_k": {"top_k": 10},
    "top_p": {"top_p": 0.9},
    "min_p": {"min_p": 0.05},
    "typical_p": {"typical_p": 0.8},
    "forbid": {"forbid": FORBID},
    "min_length": {"stop": [[x] for x in STOP], "min_length": 5},
}
OPTIONS["all"] = {k: v for options in OPTIONS.values() for k, v in options.items()}


def theirs(ids, logits, options):
    """What their `generate` makes of logits, by the processors that it builds itself.

    They are in the order in which it applies them.
    """
    config = transformers.GenerationConfig(
        do_sample=True,
        temperature=options.get("temperature", 1.0),
        repetition_penalty=options.get("repetition_penalty", 1.0),
        top_k=options.get("top_k", 0),
        top_p=options.get("top_p", 1.0),
        min_p=options.get("min_p"),
        typical_p=options.get("typical_p", 1.0),
        bad_words_ids=[[x] for x in options["forbid"]] if "forbid" in options else None,
        eos_token_id=STOP if "stop" in options else None,
        min_new_tokens=options.get("min_length"),
    )
    config._eos_token_tensor = torch.tensor(STOP)
    build = transformers.GenerationMixin._get_logits_processor
    model = type("Model", (transformers.GenerationMixin,), {})()
    model.config = transformers.PretrainedConfig()
    processors = build(
        model,
        generation_config=config,
        input_ids_seq_length=ids.shape[1],
        encoder_input_ids=torch.from_numpy(ids),
        prefix_allowed_tokens_fn=None,
        logits_processor=transformers.LogitsProcessorList(),
        device="cpu",
    )
    assert len(processors) == sum(x not in ("stop",) for x in options)
    return processors(torch.from_numpy(ids), torch.from_numpy(logits)).numpy()


@jax.jit
def ours(rules, ids, logits):
    memory = process.first_memory(rules, ROWS, V)
    memory = process.after_prompt(memory, ids, READ)
    z, _ = process.constrained(rules, memory, logits)
    return process.truncated(rules, z) / rules.temperature


@pytest.mark.parametrize("name", OPTIONS)
def test_logits_are_those_of_transformers(name):
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=3.0, size=(ROWS, V)).astype(np.float32)
    ids = rng.integers(V, size=(ROWS, READ))
    options = OPTIONS[name]
    rules = process.prepare(Decoding(**options), V, ROWS)
    found = ours(rules, jnp.asarray(ids, jnp.int32), jnp.asarray(logits))
    expected = theirs(ids, logits.copy(), options)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert (found != logits).any()
