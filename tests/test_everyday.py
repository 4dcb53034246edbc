"""Which cases run every day: few, and among them all that has to be met."""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from everyday import pytest_collection_modifyitems

ROOT = Path(__file__).parents[1]


class Item:
    """What pytest has collected, as far as it is looked at."""

    def __init__(self, function, mark, **params):
        self.function, self.mark, self.kind = function, mark, "everyday"
        self.callspec = SimpleNamespace(params=params)
        self.nodeid = f"test[{'-'.join(map(str, params.values()))}]"

    def get_closest_marker(self, name):
        return self.mark if name == "everyday" else None

    def add_marker(self, mark):
        assert self.kind == "everyday"
        self.kind = mark.name


def marked(*groups, **limits):
    """The parameters of the cases of 3 x 4 x 5, by kind."""
    mark = pytest.mark.everyday(*groups, **limits).mark
    axes = {"a": range(3), "b": range(4), "c": [[n] for n in range(5)]}  # no hash
    items = [
        Item("one", mark, **dict(zip(axes, values, strict=True)))
        for values in itertools.product(*axes.values())
    ]
    others = [Item("another", None, a=0), Item("third", mark, a=7, b=7, c=7)]
    pytest_collection_modifyitems(others[:1] + items + others[1:])
    assert others[0].kind == "everyday"
    kinds = {"everyday": [], "thorough": [], "exhaustive": []}
    for item in items:
        kinds[item.kind].append(item.callspec.params)
    return kinds


def everyday(*groups, **limits):
    """The parameters of the cases that are left for every day."""
    return marked(*groups, **limits)["everyday"]


def test_each_value_is_met_by_as_few_cases_as_it_takes():
    left = everyday("a", "b", "c")
    assert len(left) == 5
    for name, count in {"a": 3, "b": 4, "c": 5}.items():
        assert len({str(case[name]) for case in left}) == count


def test_each_pair_of_values_is_met():
    left = everyday("a b", "c")
    assert len(left) == 12
    assert len({(case["a"], case["b"]) for case in left}) == 12
    assert len({str(case["c"]) for case in left}) == 5


def test_values_are_limited():
    assert len(everyday(a=(1,))) == 20
    left = everyday("b", a=(0, 2), c=[[3]])
    assert len(left) == 4
    assert all(case["a"] in (0, 2) and case["c"] == [3] for case in left)


def test_all_others_are_thorough_unless_it_says_what_these_have_to_meet():
    kinds = marked("a")
    assert [len(kinds[kind]) for kind in kinds] == [3, 57, 0]
    kinds = marked("c", thorough=["a b", "c"])
    first, more = (
        {(case["a"], case["b"]) for case in kinds[kind]}
        for kind in ("everyday", "thorough")
    )
    assert not first & more
    assert len(first | more) == 12
    assert len(kinds["everyday"]) == 5
    assert len(kinds["thorough"]) == len(more)
    assert len(kinds["exhaustive"]) == 60 - 5 - len(more)


def test_each_promise_of_the_contract_is_tested_every_day(request):
    """As far as its file is collected: in the everyday run, they all are."""
    collected, held = set(), set()
    for item in request.session.items:
        if not (
            item.get_closest_marker("thorough") or item.get_closest_marker("exhaustive")
        ):
            collected.add(item.path)
            held.add((item.path, getattr(item, "originalname", None)))
            if clause := getattr(item, "callspec", None) and item.callspec.params.get(
                "clause"
            ):
                held.add((item.path, clause.__name__))
    text = (ROOT / "docs/contract.md").read_text("utf-8")
    promises = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert len(promises) > 40
    for file, name in promises:
        path = ROOT / "tests" / file
        assert path not in collected or (path, name) in held, f"{file}::{name}"
