"""Tables as text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.cli import columns
from forebay.cli.columns import Column

LOOK = [Column("kind"), Column("dataset", flexible=True), Column("size", right=True)]


def test_columns_are_aligned_and_lines_end_without_blanks() -> None:
    lines = list(columns.lines(LOOK, [["delta", "demo", "1 B"], ["run", "a longer one", "18.2 kB"]]))
    assert lines == [
        "kind   dataset          size",
        "delta  demo              1 B",
        "run    a longer one  18.2 kB",
    ]


def test_only_the_flexible_column_is_cut() -> None:
    row = ["delta", "a-very-long-name-of-a-dataset-indeed", "18.2 kB"]
    _, line = columns.lines(LOOK, [row], width=36)
    assert line == "delta  a-very-lon…et-indeed  18.2 kB"
    assert columns.cells(line) == 36


def test_what_would_break_a_line_or_steer_the_terminal_is_written_out() -> None:
    lines = list(columns.lines(LOOK, [["run", "a\nb\x1b[31m\u2028", "1 B"], ["run", "數\u3000e\u0301", "1 B"]]))
    assert lines[1] == "run   a\\nb\\x1b[31m\\u2028   1 B"
    assert lines[2].startswith("run   數\u3000e\u0301 ")


def test_a_pipe_cuts_nothing() -> None:
    long = "x" * 500
    assert long in list(columns.lines(LOOK, [["run", long, "1 B"]], width=None))[1]


def test_wide_letters_take_two_cells() -> None:
    assert columns.cells("数据集") == 6
    assert columns.cells("e\u0301") == 1
    lines = list(columns.lines(LOOK, [["run", "数据集", "1 B"], ["run", "abcdef", "1 B"]]))
    assert columns.cells(lines[1]) == columns.cells(lines[2])


@given(st.text(max_size=30), st.integers(2, 40))
def test_what_is_cut_fits(text: str, width: int) -> None:
    cut = columns.cut(text, width)
    assert columns.cells(cut) <= width
    assert cut == text or "…" in cut


@given(st.lists(st.tuples(st.text("ab数 ", max_size=40), st.text("0123", max_size=6)), max_size=5), st.integers(30, 90))
def test_rows_fit_a_terminal(rows: list[tuple[str, str]], width: int) -> None:
    table = [["kind", name, number] for name, number in rows]
    for line in columns.lines(LOOK, table, width):
        assert columns.cells(line) <= width
