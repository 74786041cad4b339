from pathlib import Path

import pytest

from skylike.embeddings.names import MAX_NAME_BYTES, check_name, name_after
from skylike.errors import SettingsError


@pytest.mark.parametrize("name", ["small", "Größe 2", "a.b-c_d", "é" * (MAX_NAME_BYTES // 2)])
def test_name_when_it_can_be_a_file_name_then_passes(name: str):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "/a", "a\nb", "a\x00b", "a\udc80", "a" * 201, "é" * 101],
)
def test_name_when_it_cannot_be_a_file_name_then_is_refused(name: str):
    with pytest.raises(SettingsError, match="it becomes a file name"):
        check_name(name)


@pytest.mark.parametrize(
    ("file", "name"),
    [("small.pt", "small"), ("a b (1).pth", "a-b-1"), ("epoch=3.ckpt", "epoch=3")],
)
def test_name_when_it_is_made_after_a_file_then_passes(file: str, name: str):
    assert name_after(Path("folder", file)) == name
    check_name(name)


def test_name_when_nothing_is_left_of_the_file_then_is_refused():
    with pytest.raises(SettingsError, match="give one with --name"):
        name_after(Path("(((.pt"))
