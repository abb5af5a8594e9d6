"""Where names stand in a chart: beside their mark, within its bounds, and on nothing where there is a free place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.report.charts.labels import ABOVE, BELOW, LETTER, PLACES, Box, Room, along, around

PAPER = Box(0, 0, 400, 300)
numbers = st.floats(0, 400, allow_nan=False)


def letters(name: str, x: float, y: float, anchor: str) -> Box:
    """The box of a placed name."""
    left = x - len(name) * LETTER * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    return Box(left, y - ABOVE, left + len(name) * LETTER, y + BELOW)


def test_alone_it_stands_at_the_right() -> None:
    assert Room(PAPER).place("name", (200, 150)) == (209, 154, "start")


def test_at_the_right_edge_it_stands_at_the_left() -> None:
    assert Room(PAPER).place("name", (395, 150)) == (386, 154, "end")


@pytest.mark.parametrize("winner", [(33.0, 6.0), (33.0, -6.0), (20.0, 0.0), (0.0, 14.0), (-20.0, 0.0)])
@pytest.mark.parametrize("mark", [(48.0, 38.0), (200.0, 150.0), (392.0, 40.0), (48.0, 280.0)])
def test_it_does_not_lie_on_the_winner(mark: tuple[float, float], winner: tuple[float, float]) -> None:
    ring = around((mark[0] + winner[0], mark[1] + winner[1]), 11, 3.0)
    spot = Room(Box(46, 2, 400, 300), [ring]).place("sorter", mark)
    assert letters("sorter", *spot).shared(ring) == 0


def test_two_names_of_one_place_stand_apart() -> None:
    room = Room(PAPER)
    one, two = (letters("Equal ratio", *room.place("Equal ratio", (200, 150))) for _ in range(2))
    assert one.shared(two) == 0


def test_a_line_is_left_alone() -> None:
    line = along([(200, 150), (300, 150)], 0.6)
    assert sum(box.right - box.left for box in line) == pytest.approx(100, rel=0.05)
    spot = Room(PAPER, line).place("name", (200, 150))
    assert spot == (191, 154, "end")


@given(st.lists(st.tuples(numbers, numbers), max_size=30), st.tuples(numbers, st.floats(0, 300)), st.text(max_size=15))
def test_a_free_place_is_taken_where_there_is_one(
    dots: list[tuple[float, float]], mark: tuple[float, float], name: str
) -> None:
    taken = [around(dot, 5.5) for dot in dots]
    spot = Room(PAPER, list(taken)).place(name, mark)
    places = [letters(name, mark[0] + dx, mark[1] + dy, anchor) for dx, dy, anchor in PLACES]
    free = [box for box in places if PAPER.holds(box) and not any(box.shared(thing) for thing in taken)]
    if free:
        assert letters(name, *spot) == free[0]
