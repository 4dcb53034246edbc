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
    if vocabulary.end != model.end:
        raise InputError(
            f"vocabulary: expected one with the end of documents that the model has, "
            f"{model.end}, got {vocabulary.end}; LanguageModel(end=...) takes it"
        )


def refuse_documents(model: LanguageModel, where: str) -> None:
    """Raises `InputError` for a model that begins anew where a document ends.

    Args:
      model: The model.
      where: What it was to be written for, which does not do that.
    """
    if model.end is not None:
        raise InputError(
            f"end: expected a model of one text, since {where} keeps the state at the "
            f"end of a document, got one of documents, with end={model.end}; the forms "
            "safetensors and jax have it"
        )
