"""What moved from `jaxtext.training` to `jaxtext.runs` is found in both places."""

import pytest

import jaxtext as jt
from jaxtext.runs import checkpoint


def test_a_module_that_moved_is_found_under_its_old_name():
    with pytest.warns(DeprecationWarning, match=r"is now jaxtext\.runs\.checkpoint"):
        from jaxtext.training import checkpoint as old
    assert old is checkpoint


def test_other_names_are_not_there():
    with pytest.raises(
        AttributeError, match=r"'jaxtext\.training' has no attribute 'x'"
    ):
        jt.training.x  # noqa: B018
