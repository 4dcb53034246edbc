"""The best that three minutes on two cores come to.

Text:     tiny Shakespeare, a million characters; or any text
Model:    one GRU of 384 on one-hot characters
Training: AdamW, about 6 passes, the state begun anew now and then
"""

VALUES = {
    "cell": "lstm",
    "hidden": 384,
    "dropout": 0.2,
    "variational": True,
    "batch_size": 32,
    "seq_len": 32,
    "reset_probability": 0.05,
    "learning_rate": 1.2e-2,
    "weight_decay": 0.1,
    "minutes": 3,
    "eval_characters": 120_000,
    "eval_protocol": "cold-256",
}
