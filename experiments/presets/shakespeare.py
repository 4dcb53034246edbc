"""The best we have on tiny Shakespeare."""

VALUES = {
    "cell": "lstm",
    "hidden": 512,
    "minutes": 45,
}
