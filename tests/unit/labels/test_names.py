import pytest

from skylike.errors import SettingsError
from skylike.labels.names import check_author, check_name, check_text


@pytest.mark.parametrize("name", ["ring", "a", "lens_2021", "x" * 50])
def test_name_when_a_plain_identifier_then_is_taken(name: str):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Ring", "2rings", "_ring", "ring-like", "ring\n", "größe", "x" * 51, "a b", "a'b"]
)
def test_name_when_no_plain_identifier_then_is_refused(name: str):
    with pytest.raises(SettingsError, match="not a plain identifier"):
        check_name(name)


def test_name_when_refused_then_a_near_one_is_proposed():
    with pytest.raises(SettingsError, match=r"such as ring_like$"):
        check_name("Ring-like")


def test_author_when_padded_then_is_stripped():
    assert check_author("  Ada Lovelace ") == "Ada Lovelace"


def test_author_when_empty_then_is_refused():
    with pytest.raises(SettingsError, match="--author is empty"):
        check_author("  ")


@pytest.mark.parametrize("text", ["a\0b", "a\udcff"])
def test_text_when_the_database_cannot_hold_it_then_is_refused(text: str):
    with pytest.raises(SettingsError, match="--note"):
        check_text(text, "--note")
