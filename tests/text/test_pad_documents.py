"""Which symbols of which document end up where."""

import numpy as np
import pytest

from jaxtext.errors import InputError
from jaxtext.text import FileArray, pad_documents

DOCUMENTS = [[5, 3, 8, 1], [2, 4], [7], []]


@pytest.mark.parametrize("length", [None, 3, 6])
def test_each_document_is_a_row(length):
    batch = pad_documents(DOCUMENTS, length)
    assert batch.inputs.shape == batch.targets.shape == (4, length or 3)
    assert batch.lengths.tolist() == [3, 1, 0, 0]
    for row, document in enumerate(DOCUMENTS):
        n = batch.lengths[row]
        assert batch.inputs[row, :n].tolist() == document[:-1]
        assert batch.targets[row, :n].tolist() == document[1:]
        assert not batch.inputs[row, n:].any()
        assert not batch.targets[row, n:].any()
    assert batch.resets[:, 0].all()
    assert not batch.resets[:, 1:].any()


def test_the_type_holds_all_documents():
    small, large = np.array([1, 2], np.uint8), np.array([1, 1000], np.uint16)
    assert pad_documents([small, small]).inputs.dtype == np.uint8
    batch = pad_documents([small, large])
    assert batch.targets.tolist() == [[2], [1000]]


def test_documents_may_lie_in_files(tmp_path):
    (tmp_path / "ids").write_bytes(bytes([3, 1, 2]))
    batch = pad_documents([FileArray(tmp_path / "ids"), [4, 5]])
    assert batch.inputs.tolist() == [[3, 1], [4, 0]]


def test_documents_without_a_symbol_to_predict_have_one_step():
    assert pad_documents([[3], []]).inputs.shape == (2, 1)


@pytest.mark.parametrize(
    ("documents", "length", "said"),
    [
        ([], None, "documents: expected at least one"),
        ([[1, 2, 3, 4]], 2, "length: expected at least 3"),
        ([[1, 2]], 0, "length: expected a whole number of at least 1"),
        ([[0.5, 1.0]], None, "expected .* integers"),
        ([[[1, 2], [3, 4]]], None, "expected .* integers"),
    ],
)
def test_other_documents_are_refused(documents, length, said):
    with pytest.raises(InputError, match=said):
        pad_documents(documents, length)
