"""Chooses the cases that run every day, and those of `make test-thorough`.

A test that crosses several arguments names what the everyday run has to meet::

    @pytest.mark.everyday("backend clause", "name")
    @pytest.mark.parametrize(("name", "backend", "clause"), ...)
    def test_contract(name, backend, clause): ...

Here the everyday run takes as few cases as it needs to meet each pair of a backend and
a clause, and each name. All other cases are marked ``thorough``. A keyword limits an
argument to some of its values: ``everyday(name=("lstm", "stack"))``. Some tests have no
everyday case and are marked ``thorough`` themselves: campaigns, and whole runs of a
benchmark whose parts have tests of their own.

Where all cases would take hours, ``thorough`` names what the everyday and the thorough
cases have to meet together, and all further cases are marked ``exhaustive``::

    @pytest.mark.everyday("backend clause", "name", thorough=["name clause"])

``pytest`` runs the everyday cases, ``pytest -m thorough`` and ``pytest -m exhaustive``
the others, ``pytest -m ''`` all of them. A case that is asked for by its full id always
counts as everyday.
"""

import itertools
import zlib

import pytest


def _met(item, groups):
    """What one case meets: the values of each group of arguments."""
    # As text, since a test may be given what can be neither hashed nor compared.
    values = {name: repr(value) for name, value in item.callspec.params.items()}
    return {(group, *(values[name] for name in group.split())) for group in groups}


def _chosen(items, groups, before=()):
    """As few of some cases as it takes, beside those before, to meet all groups."""
    # In an order that mixes all arguments, and is the same in every run.
    items = sorted(items, key=lambda item: zlib.crc32(item.nodeid.encode()))
    met = set().union(*(_met(item, groups) for item in before))
    missing = {item: new for item in items if (new := _met(item, groups) - met)}
    chosen = []
    while missing:
        best = max(missing, key=lambda item: len(missing[item]))
        found = missing.pop(best)
        chosen.append(best)
        missing = {item: left for item, of in missing.items() if (left := of - found)}
    return chosen


def _everyday(items, groups, limits):
    """The everyday cases of one test."""
    allowed = [
        item
        for item in items
        if all(item.callspec.params[name] in of for name, of in limits.items())
    ]
    return _chosen(allowed, groups) if groups else allowed


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items):
    """Marks the cases that are not everyday as ``thorough`` or ``exhaustive``."""
    crossed = [item for item in items if item.get_closest_marker("everyday")]
    for _, cases in itertools.groupby(crossed, key=lambda item: item.function):
        cases = list(cases)
        mark = cases[0].get_closest_marker("everyday")
        limits = dict(mark.kwargs)
        groups = limits.pop("thorough", None)
        everyday = _everyday(cases, mark.args, limits)
        others = [item for item in cases if item not in everyday]
        thorough = others if groups is None else _chosen(others, groups, everyday)
        for item in others:
            kind = "thorough" if item in thorough else "exhaustive"
            item.add_marker(getattr(pytest.mark, kind))
