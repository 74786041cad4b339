"""What is said of an answer: counts, exactness, pages, definitions."""

import pytest

from search_results import provenance
from skylike.interfaces.provenance import DESCRIPTIONS, plain_items, summary


def test_plain_items_when_made_then_each_has_a_description():
    assert set(plain_items(provenance())) == set(DESCRIPTIONS)


def test_plain_items_when_columns_were_defined_then_are_one_text():
    items = plain_items(provenance(definitions=("g_r = mag_g - mag_r", "r_z = mag_r - mag_z")))

    assert items["definitions"] == "g_r = mag_g - mag_r; r_z = mag_r - mag_z"
    assert plain_items(provenance())["definitions"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matched_is_bound": True}, "more than 1,234 embedded galaxies match the cut"),
        (
            {"exact": False, "expected_recall": 0.9931},
            "approximate, 99.3 % of the exact answer expected",
        ),
        ({"exact": False}, "approximate, recall unknown"),
        ({"offset": 20}, "3 galaxies like galaxy 7, after the first 20"),
        ({"definitions": ("b = mag_g - 1",)}, "type <> 'PSF' (b = mag_g - 1)"),
    ],
)
def test_summary_when_an_answer_is_special_then_says_so(changes, said):
    assert said in "\n".join(summary(provenance(**changes), found=3))


def test_summary_when_suggested_then_speaks_of_inspecting_and_of_no_exact_answer():
    suggested = provenance(
        query="to inspect next of label ring, which has 4 members", route="suggest", exact=False
    )

    first, _, worth, *_ = summary(suggested, found=3)

    assert first == "3 galaxies to inspect next of label ring, which has 4 members"
    assert worth.startswith("by a classifier (route suggest)")
