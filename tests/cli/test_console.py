import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenopool.cli import console
from stenopool.cli.values import cell, csv_cell, plain

MARKUP = ["[bold]x", "\\[/nope]", ":smile:", "a\\[b]\\", "[link=x]y[/]"]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_a_text_is_printed_as_it_is(capsys, terminal, text):
    console.say(text)
    console.print_table(["name"], [[text]])
    console.print_fields([("name", text)])
    console.tell(text)
    console.fail(text)
    printed = capsys.readouterr()
    assert printed.out.count(text) == 3
    assert printed.err.count(text) == 2


@given(st.text(st.characters()))
def test_any_name_is_shown_on_one_line(text):
    shown = console.shown(text)
    assert "\n" not in shown
    assert shown.isprintable()
    shown.encode()


@given(st.text(st.characters()))
def test_any_name_survives_json(text):
    written = console.json_text({"name": text})
    assert json.loads(written.encode()) == {"name": text}


def test_json_of_values_has_no_numbers_that_json_lacks():
    values = [float("nan"), float("inf"), {"x": [float("-inf"), 1.5]}]
    assert plain(values) == [None, None, {"x": [None, 1.5]}]


def test_cells_of_a_table_are_short():
    assert len(str(cell([0] * 1000))) <= 80
    assert cell({"a": 1}) == '{"a": 1}'
    assert csv_cell(b"\xff\x00") == "ff00"
