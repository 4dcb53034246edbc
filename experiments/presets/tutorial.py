"""The well-known Keras program on this code, which never builds one-hot windows.

Text:     the first 100,000 characters of any, 200 of them every 3 in a window
Model:    one LSTM (or ``--cell gru``) of 128, dense to the characters
Training: RMSprop, 1e-3, batches of 256 windows, each to predict one character

::

    python experiments/char_gen.py --preset tutorial --corpus my.txt

For what it shows, not for its text: after 20 passes over so little text it writes words
and no sentences. ``--preset cpu-3min`` spends less time and writes better.
"""

VALUES = {
    "characters": 100_000,
    "val_fraction": 0.0,
    "hidden": 128,
    "dropout": 0.0,
    "batch_size": 256,
    "seq_len": 200,
    "stride": 3,
    "slices": 8,
    "optimizer": "rmsprop",
    "learning_rate": 1e-3,
    "epochs": 20,
}
