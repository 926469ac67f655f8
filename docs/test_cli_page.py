"""The command line page lists the options of the parsers."""

from __future__ import annotations

from make_cli_page import PAGE, make_page


def test_tables_of_options_are_up_to_date() -> None:
    page = PAGE.read_text("utf-8")

    assert make_page(page) == page, "run: python docs/make_cli_page.py"


def test_page_has_a_table_of_each_command() -> None:
    page = PAGE.read_text("utf-8")

    for name in ("connection", "serve", "ping", "stop", "launcher"):
        assert f"<!-- options: {name} -->\n\n| option" in page
