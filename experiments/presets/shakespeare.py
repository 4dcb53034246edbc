"""The best that we have for a text of about a million characters: 18 passes over it.

Text:     tiny Shakespeare, or another as long; a longer one needs less dropout
Model:    one LSTM (or ``--cell gru``) of 512, with layer norm, on one-hot characters
Training: AdamW at a high rate, variational dropout 0.4, recurrent weight drop 0.2

::

    python experiments/char_gen.py --preset shakespeare --corpus tinyshakespeare

Three seeds of the LSTM: 1.395 ± 0.006 nats a character on the last tenth in cold
windows of 256, 1.375 ± 0.007 with the state carried, 1.228 ± 0.002 by dynamic evaluation;
one of the GRU: 1.413, 1.392, 1.252 (RESULTS.md). Some 28 minutes on two cores of an Intel
Xeon (virtual machine); 46 to 50, GRU 37, on one of them with the other one busy.
"""

VALUES = {
    "cell": "lstm",
    "hidden": 512,
    "dropout": 0.4,
    "variational": True,
    "layer_norm": True,
    "weight_drop": 0.2,
    "batch_size": 32,
    "seq_len": 64,
    "reset_probability": 0.05,
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "steps": 9000,
    "eval_characters": 120_000,
    "eval_protocol": "cold-256",
}
