"""Short documents, one a line: names, titles, commands. Three minutes on two cores.

Text:     some hundred thousand characters in lines; each line is a document
Model:    one LSTM (or ``--cell gru``) of 256, with layer norm, on one-hot characters
Training: AdamW at a high rate, variational dropout 0.4, recurrent weight drop 0.3, the
          weights averaged over some thousand steps

::

    python experiments/char_gen.py --preset names --corpus names.txt
    python experiments/sample.py --workdir runs/... --documents 20 --unlike-training

On makemore's names, two cores of an AMD EPYC (virtual machine), 177 s from start to end
of the process, one seed each: 1.872 nats a symbol for the LSTM and 1.880 for the GRU on
the 1,000 names of the test set, ends included (RESULTS.md).
"""

VALUES = {
    "cell": "lstm",
    "documents": "lines",
    "hidden": 256,
    "dropout": 0.4,
    "variational": True,
    "weight_drop": 0.3,
    "layer_norm": True,
    "average_decay": 0.999,
    "batch_size": 64,
    "seq_len": 16,
    "learning_rate": 1.2e-2,
    "weight_decay": 0.1,
    "minutes": 3,
    "eval_characters": 40_000,
}
