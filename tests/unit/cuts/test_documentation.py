"""``docs/cuts.md`` says what the program does."""

import re
from pathlib import Path

import pytest

from skylike.cuts import GALAXY_KINDS, ColumnKind, parse_cut
from skylike.cuts.functions import FUNCTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "cuts.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^    (?!there is)(\S.*)$", PAGE, re.MULTILINE)


def test_the_page_lists_every_function():
    listed = set(re.findall(r"`(\w+)\(", PAGE))

    assert set(FUNCTIONS) <= listed


def test_the_page_has_examples():
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("cut", EXAMPLES)
def test_every_example_of_the_page_is_accepted(cut: str):
    kinds = {**GALAXY_KINDS, "class": ColumnKind.TEXT}

    assert parse_cut(cut, kinds).columns
