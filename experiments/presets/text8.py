"""A hundred million characters of Wikipedia in 27 letters, with the usual split.

Text:     your copy of ``text8`` (it is not downloaded): its first 90,000,000 characters
          to train on, 5,000,000 to validate, the last 5,000,000 to test
Model and training: those of ``--preset enwik8``

::

    python experiments/char_gen.py --preset text8 --corpus text8
    tail -c 5000000 text8 > text8.test
    python experiments/evaluate.py --workdir runs/... --corpus text8.test --protocol carried

It is a matter of days on one GPU and has not been run here. Published for an LSTM with
batch normalisation, 1.36 bits per character (Cooijmans et al., "Recurrent batch
normalization", 2017); nothing is known of this recipe.
"""

from presets import enwik8

VALUES = enwik8.VALUES | {"vocab": "chars"}
