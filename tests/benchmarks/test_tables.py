"""tables.py: the tables of the pages are those of the results."""

import pytest
import tables
from pages import marks

PAGE = "before\n<!-- table: A -->\n| old |\n<!-- end of table -->\nafter\n"


def test_the_pages_are_up_to_date(capfd):
    assert tables.main(["--check"]) == 0, capfd.readouterr().err
    marked = {
        name: (tables.CHECKOUT / name).read_text("utf-8") for name in tables.PAGES
    }
    assert all(marks.names(page) for page in marked.values())
    assert {x for page in marked.values() for x in marks.names(page)} == {
        *tables.TABLES
    }


def test_only_what_is_marked_is_replaced(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tables, "CHECKOUT", tmp_path)
    monkeypatch.setattr(tables, "PAGES", ("page.md",))
    monkeypatch.setattr(tables, "TABLES", {"A": lambda: "| new |\n"})
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert tables.main(["--check"]) == 1
    assert "page.md is not up to date: run make tables" in capfd.readouterr().err
    assert page.read_text() == PAGE
    assert tables.main([]) == 0
    assert page.read_text() == PAGE.replace("old", "new")
    assert tables.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (PAGE.replace("A -->", "B -->"), "table 'B': expected one of A"),
        (PAGE.replace("<!-- end of table -->\n", ""), "table 'A': expected"),
    ],
)
def test_a_mark_that_cannot_be_filled_is_refused(page, message):
    with pytest.raises(ValueError, match=message):
        marks.fill(page, {"A": lambda: "| new |\n"})
