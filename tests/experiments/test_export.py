"""export.py: what a trained run is written as, and that it is the same network."""

import json
import re
import zipfile

import char_gen
import export
import jax
import node
import numpy as np
import pytest
import sample

from charlm.build import restore
from jaxtext.interop import load_safetensors
from jaxtext.runs import checkpoint
from jaxtext.training import surprisals

TEXT = "hello world, é 😀\nlow 😀 hole\n" * 80
SMALL = [
    "--hidden",
    "24",
    "--batch-size",
    "8",
    "--seq-len",
    "8",
    "--steps",
    "60",
    *("--learning-rate", "0.02"),
]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text"
    path.write_text(TEXT)
    return path


def train(text, run, *flags):
    argv = ["--corpus", str(text), "--workdir", str(run), *SMALL, *flags]
    argv += ["--learning-rate", "0.02"]
    assert char_gen.main(argv) == 0
    return run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, text):
    run = tmp_path_factory.mktemp("runs") / "of-characters"
    return train(text, run, "--layer-norm", "--layers", "2", "--residual")


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory, text):
    run = tmp_path_factory.mktemp("runs") / "of-bytes"
    flags = ["--vocab", "bytes", "--cell", "gru", "--frequent", "8", "--tied"]
    return train(text, run, *flags, "--zoneout", "0.1")


def exported(capfd, *args):
    capfd.readouterr()
    status = export.main([str(a) for a in args])
    out, err = capfd.readouterr()
    assert status == 0, err
    return json.loads(out)


def in_page(path, element):
    """What an element ``script`` of a page holds."""
    page = path.read_text("utf-8")
    (found,) = re.findall(rf'<script [^>]*id="{element}">(.*?)</script>', page, re.S)
    return found


@pytest.mark.skipif(node.PROGRAM is None, reason="without Node.js")
@pytest.mark.parametrize("run", ["workdir", "of_bytes"])
def test_the_page_writes_what_sample_writes(run, request, tmp_path, capfdbinary):
    workdir, path = request.getfixturevalue(run), tmp_path / "net.html"
    args = ["--workdir", workdir, "--out", path, "--precision", "float32"]
    assert export.main([str(a) for a in args]) == 0
    capfdbinary.readouterr()
    prompt = "hello "
    args = ["--workdir", workdir, "--prompt", prompt, "--temperature", 0]
    assert sample.main([str(a) for a in [*args, "--length", 500]]) == 0
    expected = capfdbinary.readouterr().out
    program = f"""{node.runtime()}
    const model = new LanguageModel(told.about.model, fromBase64(told.weights));
    const vocabulary = new Vocabulary(told.about.vocabulary);
    let logits, ids = [];
    for (const id of vocabulary.encode(told.prompt)) logits = model.step(id);
    for (let k = 0; k < 500; k++) {{
      ids.push(draw(logits, 0));
      logits = model.step(ids[k]);
    }}
    [ids, ids.map(vocabulary.decoder()).join("")]"""
    told = {"about": json.loads(in_page(path, "about")), "prompt": prompt}
    ids, written = node.run(program, told | {"weights": in_page(path, "weights")})
    assert bytes(ids) == expected if run == "of_bytes" else written == expected.decode()
    assert len(set(ids)) > 3


def test_it_tells_what_rounding_costs(workdir, text, tmp_path, capfd):
    out = tmp_path / "net.html"
    args = ["--workdir", workdir, "--out", out, "--characters", 100]
    rough = exported(capfd, *args, "--precision", "int8")
    fine = exported(capfd, *args)
    assert (fine["precision"], rough["bytes"] < fine["bytes"]) == ("float16", True)
    assert fine["bytes"] == out.stat().st_size
    about = checkpoint.read_about(workdir, warn=lambda _: None).about
    model, found = restore(workdir, about, warn=lambda _: None)
    given = exported(capfd, *args, "--corpus", text)
    assert given["nats_per_char"] == fine["nats_per_char"]
    size = len(TEXT) - int(len(TEXT) * 0.1)
    names = about["vocabulary"]["characters"]
    ids = np.array([names.index(c) for c in TEXT[size : size + 101]])
    expected = surprisals(model, found.arrays, ids).mean()
    assert fine["nats_per_char_float32"] == pytest.approx(float(expected), rel=1e-5)
    change = abs(rough["nats_per_char"] - rough["nats_per_char_float32"])
    assert 0 < abs(fine["nats_per_char"] - fine["nats_per_char_float32"]) < change < 0.1
    told = json.loads(in_page(out, "about"))["details"]
    assert "LSTM with layer norm, 2 layers of 24 units" in told["Network"]
    assert f"{fine['nats_per_char']:.4f} nats per character on 100 " in told["Weights"]


def test_a_text_that_is_gone_is_no_error(tmp_path, capfd):
    text = tmp_path / "text"
    text.write_text(TEXT)
    run = train(text, tmp_path / "run", "--steps", "1")
    text.unlink()
    capfd.readouterr()
    args = ["--workdir", str(run), "--out", str(tmp_path / "net.html")]
    assert export.main(args) == 0
    out, err = capfd.readouterr()
    assert "nats_per_char" not in json.loads(out)
    assert "note: what rounding costs is not measured" in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--out", "net.txt"], "--format: expected one of html"),
        (["--out", "no/such/net.html"], "--out: expected a file that can be written"),
        (["--out", "."], "--format: expected one of html"),
        (["--out", "."], ""),
        ([], "--out: expected a path, got none"),
        (["--out", "net.html", "--precision", "int4"], "--precision: expected one of"),
        (["--out", "net.html", "--characters", "0"], "--characters: expected a whole"),
        (["--out", "net.html", "--corpus", "gone"], "gone"),
        (["--out", "net.html", "--checkpoint", "77"], "no checkpoint of step 77"),
    ],
)
def test_bad_input_is_one_line(workdir, args, said, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    assert export.main(["--workdir", str(workdir), *args]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_safetensors_hold_the_run(workdir, tmp_path, capfd):
    pytest.importorskip("safetensors")
    out = tmp_path / "net.safetensors"
    result = exported(capfd, "--workdir", workdir, "--out", out)
    assert result["bytes"] == out.stat().st_size
    found = load_safetensors(out)
    about = checkpoint.read_about(workdir, warn=lambda _: None).about
    model, restored = restore(workdir, about, warn=lambda _: None)
    assert found.model == model
    assert found.vocabulary is not None
    assert found.vocabulary.to_json() == about["vocabulary"]
    for ours, theirs in zip(
        *map(jax.tree.leaves, (found.params, restored.arrays)), strict=True
    ):
        assert (ours == theirs).all()
    assert found.about["run"] == "of-characters"
    flags = ["--workdir", workdir, "--out", out, "--precision", "int8"]
    assert export.main([str(x) for x in flags]) == 2
    assert "--precision: expected a page" in capfd.readouterr().err


def test_functions_of_jax_hold_the_run(workdir, tmp_path, capfd):
    pytest.importorskip("flatbuffers")
    out = tmp_path / "net"
    exported(capfd, "--workdir", workdir, "--out", out, "--format", "jax")
    about = checkpoint.read_about(workdir, warn=lambda _: None).about
    with zipfile.ZipFile(out) as file:
        assert json.loads(file.read("about.json"))["vocabulary"] == about["vocabulary"]
        assert jax.export.deserialize(bytearray(file.read("read"))).nr_devices == 1


def test_layer_norm_is_not_in_torch(workdir, tmp_path, capfd):
    pytest.importorskip("torch")
    flags = ["--workdir", str(workdir), "--out", str(tmp_path / "net.pt")]
    assert export.main(flags) == 2
    assert "expected rnn, lstm or gru" in capfd.readouterr().err


def test_a_state_dict_holds_the_run(text, tmp_path, capfd):
    torch = pytest.importorskip("torch")
    run = train(text, tmp_path / "run", "--steps", "1")
    out = tmp_path / "net.pt"
    exported(capfd, "--workdir", run, "--out", out)
    saved = torch.load(out, weights_only=True)
    module = torch.nn.LSTM(12, 24, batch_first=True)
    begin = "layers.0."
    module.load_state_dict(
        {k[len(begin) :]: x for k, x in saved["state_dict"].items() if begin in k}
    )
    assert len(json.loads(saved["vocabulary"])["characters"]) == 12
