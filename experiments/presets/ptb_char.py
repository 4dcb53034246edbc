"""Penn Treebank, character by character, as Mikolov et al. divided it.

Text:     your copies of ``ptb.char.train.txt``, ``.valid.txt`` and ``.test.txt`` (not
          downloaded), in which a blank stands between all characters and _ for a blank
Model:    three LSTMs of 1000, 13.8 million parameters, as in Merity et al. 2018
Training: Adam, recurrent weight drop 0.5, batches of 128 x 150

::

    for part in train valid test; do
        tr -d ' ' < ptb.char.$part.txt | tr _ ' ' > ptb-$part.txt
    done
    python experiments/char_gen.py --preset ptb-char --corpus ptb-train.txt --val-corpus ptb-valid.txt
    python experiments/evaluate.py --workdir runs/... --corpus ptb-test.txt --protocol carried

It is a matter of a day on one GPU and has not been run here. Expected: 1.18 bits per
character on the test part (1.175 in Merity, Keskar and Socher, "An analysis of neural
language modeling at multiple scales", 2018, whose recipe it follows, with a cosine decay
in place of two drops).
"""

VALUES = {
    "cell": "lstm",
    "hidden": 1000,
    "layers": 3,
    "embedding": 200,
    "variational": True,
    "dropout": 0.1,
    "dropout_between": 0.25,
    "dropout_input": 0.1,
    "weight_drop": 0.5,
    "batch_size": 128,
    "seq_len": (150, 150, 75),
    "reset_probability": 0.01,
    "learning_rate": 2e-3,
    "weight_decay": 1.2e-6,
    "clip": 0.25,
    "epochs": 200,
    "eval_characters": 400_000,
    "eval_every": 1000,
}
