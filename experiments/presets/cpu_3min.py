"""Three minutes on two cores.

Text:     tiny Shakespeare, a million characters; or any text
Model:    one LSTM (or ``--cell gru``) of 384, with layer norm, on one-hot characters,
          0.7 million parameters
Training: AdamW at a high rate, variational dropout 0.2, the state begun
          anew at every twentieth batch, 2 to 8 passes

::

    python experiments/char_gen.py --preset cpu-3min --corpus tinyshakespeare --seed 0

Two cores of an AMD EPYC (virtual machine), 178 s from start to end of the process, compilation
included: 1.415 ± 0.002 nats a character on the last tenth in cold windows of 256, 1.397 ± 0.002 with
the state carried (mean and standard deviation of five seeds, eight passes; RESULTS.md). An
Intel Xeon in a slow hour read two passes: 1.466 ± 0.008.
"""

VALUES = {
    "cell": "lstm",
    "hidden": 384,
    "dropout": 0.2,
    "variational": True,
    "layer_norm": True,
    "batch_size": 32,
    "seq_len": 32,
    "reset_probability": 0.05,
    "learning_rate": 1.2e-2,
    "weight_decay": 0.1,
    "minutes": 3,
    "eval_characters": 120_000,
    "eval_protocol": "cold-256",
}
