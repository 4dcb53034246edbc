"""What has to fit together in a file that holds both a model and a vocabulary."""

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.text import Vocabulary


def check_vocabulary(model: LanguageModel, vocabulary: Vocabulary) -> None:
    """Raises `InputError` if a vocabulary is of another size than a model's."""
    if len(vocabulary) != model.vocab_size:
        raise InputError(
            f"vocabulary: expected one of {model.vocab_size:,} symbols, as the model "
            f"has, got {len(vocabulary):,}"
        )
