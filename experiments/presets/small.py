"""A text of less than a megabyte, three minutes on two cores.

Text:     a book, poems, a chat: 50,000 to a million characters. A larger model learns
          them by heart before the three minutes are over.
Model:    one LSTM (or ``--cell gru``) of 256, with layer norm, on one-hot characters
Training: as ``--preset cpu-3min``, with variational dropout 0.5 and recurrent weight
          drop 0.3

::

    python experiments/char_gen.py --preset small --corpus book.txt

Width and rates are between those of ``names``, which were measured, and of
``shakespeare``. No score of three quiet minutes is known yet.
"""

VALUES = {
    "cell": "lstm",
    "hidden": 256,
    "dropout": 0.5,
    "variational": True,
    "weight_drop": 0.3,
    "layer_norm": True,
    "batch_size": 32,
    "seq_len": 32,
    "reset_probability": 0.05,
    "learning_rate": 1.2e-2,
    "weight_decay": 0.1,
    "minutes": 3,
    "eval_characters": 100_000,
}
