"""torch_train.py learns, reads the streams in order, and begins each epoch anew."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from loops import torch_train

import jaxtext as jt


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_steps(cell):
    sizes = {"hidden": 8, "batch_size": 2, "seq_len": 5}
    config = torch_train.Config(cell, **sizes, learning_rate=0.1)
    streams = jt.text.Streams(np.arange(35) % 4, 2, 5)
    trainer = torch_train.Trainer(config, streams, 4)
    begun, loss = [], trainer.loss
    trainer.loss = lambda *args: begun.append(args[2] is None) or loss(*args)
    for _ in range(60):
        trainer.step(0.0)
    assert begun == [k % streams.batches_per_epoch == 0 for k in range(60)]
    assert trainer.losses[-1] < 0.5 * trainer.losses[0]


def test_the_last_line(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("abcde\n" * 1000)
    flags = "--hidden 8 --batch-size 2 --seq-len 5 --dtype bfloat16 --seconds 0.1"
    assert torch_train.main([*flags.split(), "--corpus", str(text)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["steps"] >= torch_train.WARM_UP
    assert result["parameters"] == 4 * 8 * (6 + 8 + 2) + 6 * (8 + 1)
