"""Chooses the cases that run every day; `make test-thorough` runs the others as well.

A test that crosses several arguments names what the everyday run has to meet::

    @pytest.mark.everyday("backend clause", "name")
    @pytest.mark.parametrize(("name", "backend", "clause"), ...)
    def test_contract(name, backend, clause): ...

Here the everyday run takes as few cases as it needs to meet each pair of a backend and
a clause, and each name. All other cases are marked ``thorough``. A keyword limits an
argument to some of its values: ``everyday(name=("lstm", "stack"))``. Some tests have no
everyday case and are marked ``thorough`` themselves: long campaigns, and whole runs of
a benchmark whose parts have tests of their own.

``pytest`` runs the everyday cases, ``pytest -m thorough`` the others, ``pytest -m ''``
all of them. A case that is asked for by its full id always counts as everyday.
"""

import itertools
import zlib

import pytest


def _met(item, groups):
    """What one case meets: the values of each group of arguments."""
    # As text, since a test may be given what can be neither hashed nor compared.
    values = {name: repr(value) for name, value in item.callspec.params.items()}
    return {(group, *(values[name] for name in group.split())) for group in groups}


def _chosen(items, mark):
    """The everyday cases of one test, which has the mark ``everyday``."""
    allowed = [
        item
        for item in items
        if all(item.callspec.params[name] in of for name, of in mark.kwargs.items())
    ]
    if not mark.args:
        return allowed
    # In an order that mixes all arguments, and is the same in every run.
    allowed.sort(key=lambda item: zlib.crc32(item.nodeid.encode()))
    missing = {item: _met(item, mark.args) for item in allowed}
    chosen = []
    while missing:
        best = max(missing, key=lambda item: len(missing[item]))
        found = missing.pop(best)
        chosen.append(best)
        missing = {item: left for item, of in missing.items() if (left := of - found)}
    return chosen


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items):
    """Marks the cases that are not everyday as ``thorough``."""
    crossed = [item for item in items if item.get_closest_marker("everyday")]
    for _, cases in itertools.groupby(crossed, key=lambda item: item.function):
        cases = list(cases)
        chosen = _chosen(cases, cases[0].get_closest_marker("everyday"))
        for item in cases:
            if item not in chosen:
                item.add_marker(pytest.mark.thorough)
