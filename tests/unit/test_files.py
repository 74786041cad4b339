"""A file is replaced whole or stays as it was."""

from pathlib import Path

import pytest

from skylike.files import replaced_file


def test_file_when_written_then_has_its_name_and_no_part_is_left(tmp_path: Path):
    path = tmp_path / "a.txt"

    with replaced_file(path) as part:
        part.write_text("new")
        assert not path.exists()

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_file_when_writing_fails_then_the_old_one_stays(tmp_path: Path, error: type[BaseException]):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(error), replaced_file(path) as part:  # noqa: PT012 - the block is the test
        part.write_text("half")
        raise error

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
