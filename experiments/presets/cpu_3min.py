"""The best that three minutes on two cores come to.

Text:     tiny Shakespeare, a million characters; or any text
Model:    one GRU of 384 on one-hot characters
Training: AdamW, about 6 passes, the state begun anew now and then
"""

VALUES = {
    "cell": "gru",
    "hidden": 384,
    "batch_size": 16,
    "seq_len": 64,
    "reset_probability": 0.1,
    "minutes": 3,
}
