"""A whole language model in torch: the same logits and gradients, and it trains on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop import to_torch_language_model

torch = pytest.importorskip("torch", reason="needs pip install torch")

MODELS = {
    "tied": jt.LanguageModel(
        jt.stack(
            *(jt.variational_dropout(0.5), jt.lstm(6), jt.dropout(0.5)),
            jt.residual(jt.recurrent_dropout(jt.lstm(6), 0.5)),
        ),
        11,
        tied=True,
        weight_drop=0.5,
    ),
    "one-hot rows": jt.LanguageModel(jt.gru(6), 11),
    "embedding": jt.LanguageModel(jt.stack(jt.rnn(6), jt.gru(5)), 11, embedding=4),
    "no biases": jt.LanguageModel(
        jt.stack(jt.gru(6, use_bias=False), jt.lstm(5, use_bias=False)), 11
    ),
}
IDS = np.array([[1, 4, 2, 2, 0, 9, 10, 3], [3, 1, 5, 5, 8, 7, 6, 0]])


def drawn(model):
    start = model.init(jax.random.key(0), None, jnp.zeros((1, 1), int))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: x + rng.normal(size=x.shape).astype("f"), start)


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients_are_those_of_the_model(name):
    model = MODELS[name]
    params = drawn(model)
    module = to_torch_language_model(model, params)

    def loss(params):
        _, logits = model.apply({"params": params}, None, IDS[:, :-1])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, IDS[:, 1:])
        return losses.mean(), logits

    (expected, logits), slopes = jax.value_and_grad(loss, has_aux=True)(params)
    theirs, _ = module(torch.tensor(IDS[:, :-1]))
    np.testing.assert_allclose(theirs.detach(), logits, 1e-6, 2e-6)
    found = torch.nn.functional.cross_entropy(
        theirs.flatten(0, 1), torch.tensor(IDS[:, 1:]).flatten()
    )
    found.backward()
    assert found.item() == pytest.approx(float(expected), rel=1e-6)
    of_bias = (slopes if model.tied else slopes["output"])["bias"]
    np.testing.assert_allclose(module.output.bias.grad, of_bias, 1e-4, 1e-6)
    if model.tied:
        np.testing.assert_allclose(
            module.embedding.weight.grad, slopes["embedding"], 1e-4, 1e-6
        )
        assert module.output.weight is module.embedding.weight


def test_the_state_goes_on():
    module = to_torch_language_model(MODELS["tied"], drawn(MODELS["tied"]))
    whole, _ = module(torch.tensor(IDS))
    first, state = module(torch.tensor(IDS[:, :3]))
    second, _ = module(torch.tensor(IDS[:, 3:]), state)
    np.testing.assert_allclose(
        torch.cat([first, second], 1).detach(), whole.detach(), 1e-6, 1e-6
    )


def test_names_are_those_that_are_told():
    tied = to_torch_language_model(MODELS["tied"], drawn(MODELS["tied"]))
    per_layer = [f"{x}_l0" for x in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    assert set(tied.state_dict()) == {
        *("embedding.weight", "output.weight", "output.bias"),
        *(f"layers.1.{x}" for x in per_layer),
        *(f"layers.3.layer.{x}" for x in per_layer),
    }
    plain = MODELS["one-hot rows"]
    names = set(to_torch_language_model(plain, drawn(plain)).state_dict())
    assert names == {"output.weight", "output.bias"} | {
        f"layers.0.{x}" for x in per_layer
    }


def test_it_trains_on():
    module = to_torch_language_model(MODELS["tied"], drawn(MODELS["tied"]))
    ids = torch.tensor(IDS)
    still, _ = module(ids)
    module.train()
    torch.manual_seed(0)
    noisy, _ = module(ids)
    assert not torch.allclose(still, noisy)
    masks = module.layers[0](torch.ones(2, 5, 6))  # variational
    assert (masks == masks[:, :1]).all()
    assert set(masks.flatten().tolist()) == {0.0, 2.0}
    optimizer = torch.optim.Adam(module.parameters(), 0.03)

    def loss():
        logits, _ = module(ids[:, :-1])
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten()
        )

    before = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    module.eval()
    assert loss().item() < 0.7 * before
    assert module.output.weight is module.embedding.weight


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (jt.LanguageModel(jt.layer_norm_lstm(4), 5), "got layer_norm_lstm"),
        (jt.LanguageModel(jt.zoneout(jt.gru(4), 0.1), 5), "got zoneout"),
        (jt.LanguageModel(jt.gru(4, reset_after=False), 5), "reset_after=False"),
        (jt.LanguageModel(jt.gru(4), 5, frequent=(1, 2)), "ordinary softmax"),
    ],
    ids=["layer norm", "zoneout", "reset before", "frequent"],
)
def test_what_torch_has_no_layer_for_is_refused(model, said):
    with pytest.raises(InputError, match=said):
        to_torch_language_model(model, drawn(model))
