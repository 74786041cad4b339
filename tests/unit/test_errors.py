"""The tree of errors is as its docstring draws it."""

import inspect

import pytest

from skylike import errors


def drawn_tree() -> dict[str, str]:
    """Class name -> name of its parent, from the drawing."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in inspect.getdoc(errors).split("The tree::")[1].splitlines():
        words = line.split()
        if not words or not words[0].endswith("Error"):
            continue
        depth = len(line) - len(line.lstrip())
        above = [(d, name) for d, name in above if d < depth]
        parents[words[0]] = above[-1][1] if above else "Exception"
        above.append((depth, words[0]))
    return parents


def test_tree_in_the_docstring_when_compared_with_the_classes_then_agrees():
    classes = {
        name: cls.__base__.__name__
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, Exception)
    }

    assert drawn_tree() == classes


def test_cut_error_when_position_is_known_then_points_at_the_character():
    error = errors.CutError("column mag_q is unknown", cut="mag_q < 3", position=0)

    assert str(error) == "column mag_q is unknown (character 1 of the cut 'mag_q < 3')"


@pytest.mark.parametrize(
    ("place", "starts", "ends"),
    [(0, "'>>>0123", "..."), (250, "'...", "..."), (499, "'...", ">>>9'")],
)
def test_cut_error_when_the_cut_is_long_then_shows_and_marks_the_place(place, starts, ends):
    error = errors.CutError("wrong", cut="0123456789" * 50, position=place)

    shown = str(error).partition("marked >>>, ")[2].removesuffix(")")

    assert f"character {place + 1} of the cut" in str(error)
    assert shown.startswith(starts)
    assert shown.removesuffix("'").endswith(ends.removesuffix("'"))
    assert f">>>{place % 10}" in shown
    assert len(shown) < 220


def test_cut_error_when_a_long_cut_has_no_place_then_marks_none():
    assert ">>>" not in str(errors.CutError("wrong", cut="0123456789" * 50))
