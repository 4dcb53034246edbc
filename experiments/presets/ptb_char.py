"""Penn Treebank, character by character, as Mikolov et al. divided it.

Text:     your copies of ``ptb.char.train.txt``, ``.valid.txt`` and ``.test.txt`` (not
          downloaded), in which a blank stands between all characters and _ for a blank
Model:    three LSTMs of 1000 on an embedding of 200, not tied, 21 million parameters
Training: AdamW, recurrent weight drop 0.5, batches of 128 x 150

::

    for part in train valid test; do
        tr -d ' ' < ptb.char.$part.txt | tr _ ' ' > ptb-$part.txt
    done
    python experiments/char_gen.py --preset ptb-char --corpus ptb-train.txt --val-corpus ptb-valid.txt
    python experiments/evaluate.py --workdir runs/... --corpus ptb-test.txt --protocol carried

It is a matter of a day on one GPU and has not been run here. Dropout, batch and rate are those by
which Merity, Keskar and Socher came to 1.175 bits per character on the test part with 13.8 million
parameters, the last layer narrow and tied ("An analysis of neural language modeling at multiple
scales", 2018); the cosine decay in place of two drops is not, nor is the weight decay, theirs being
part of the gradient.
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
    "weight_decay": 0.01,
    "clip": 0.25,
    "epochs": 200,
    "eval_characters": 400_000,
    "eval_every": 1000,
}
