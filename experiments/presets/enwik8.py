"""The Hutter Prize's 100 MB of Wikipedia, with the split that papers use.

Text:     your copy of ``enwik8`` (it is not downloaded): its first 90,000,000 bytes to
          train on, 5,000,000 to validate, the last 5,000,000 to test
Model:    three LSTMs of 1840 on an embedding of 400, not tied, 71 million parameters
Training: AdamW, weight drop 0.2, batches of 128 x 200

::

    python experiments/char_gen.py --preset enwik8 --corpus enwik8
    tail -c 5000000 enwik8 > enwik8.test
    python experiments/evaluate.py --workdir runs/... --corpus enwik8.test --protocol carried

It is a matter of days on one GPU and has not been run here. Dropout, batch and rate are those
by which Merity, Keskar and Socher came to 1.23 bits per byte with 47 million parameters, the last
layer narrow and tied ("An analysis of neural language modeling at multiple scales", 2018); the
cosine decay in place of two drops is not, nor is the weight decay, theirs being part of the gradient.
"""

VALUES = {
    "cell": "lstm",
    "vocab": "bytes",
    "characters": 95_000_000,
    "val_fraction": 0.05263157,  # the last 5,000,000 of them
    "hidden": 1840,
    "layers": 3,
    "embedding": 400,
    "variational": True,
    "dropout": 0.4,
    "dropout_between": 0.1,
    "dropout_input": 0.1,
    "weight_drop": 0.2,
    "batch_size": 128,
    "seq_len": (200, 200, 100),
    "reset_probability": 0.01,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "clip": 0.25,
    "epochs": 50,
    "eval_characters": 5_000_000,
    "eval_every": 3500,
}
