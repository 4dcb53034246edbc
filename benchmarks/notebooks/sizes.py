"""The sizes that all notebooks share."""

BATCH, LENGTH, LONGER, WIDTH, HIDDEN = 8, 64, 80, 32, 128
SYMBOLS, WRITTEN = 65, 100
