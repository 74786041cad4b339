"""Who holds the folder of staged embeddings; two holders here stand for two processes."""

import threading
from pathlib import Path

import pytest

from skylike.errors import SettingsError
from skylike.neighbors.staged_folder import HeldFolder, check_space, hold_folder, remove_unused


def filled(path: Path) -> Path:
    path.mkdir()
    (path / "vectors.f16").write_bytes(b"1234")
    return path


def test_folder_is_removed_when_nobody_else_holds_it(tmp_path: Path):
    folder = filled(tmp_path / "staged")

    with hold_folder(folder) as held:
        assert held.remove_unless_used()

    assert list(tmp_path.iterdir()) == []


def test_folder_that_another_one_reads_stays(tmp_path: Path):
    folder = filled(tmp_path / "staged")

    with hold_folder(folder), hold_folder(folder) as other:
        assert not other.remove_unless_used()

    assert (folder / "vectors.f16").exists()
    assert HeldFolder(folder).remove_unless_used()


def test_second_reader_waits_for_the_one_who_writes(tmp_path: Path):
    folder, events = tmp_path / "staged", []
    writer = HeldFolder(folder)
    writer.take()

    def read() -> None:
        with hold_folder(folder):
            events.append((folder / "vectors.f16").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    filled(folder)
    events.append("written")
    writer.share()  # as one does who goes on to read what it wrote
    reader.join(10)
    writer.release()

    assert events == ["written", b"1234"]


def test_two_who_share_a_folder_and_want_it_alone_get_it_one_after_the_other(tmp_path: Path):
    folder, order = tmp_path / "staged", []
    holders = [HeldFolder(folder), HeldFolder(folder)]
    for held in holders:
        held.share()

    def take(held: HeldFolder) -> None:
        held.take()
        order.append(held)
        held.release()

    threads = [threading.Thread(target=take, args=(held,)) for held in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(order) == 2


def test_lock_file_that_was_removed_with_its_folder_protects_nobody_any_more(tmp_path: Path):
    folder = tmp_path / "staged"
    late = HeldFolder(folder)
    late.share()
    late_lock = folder.with_name("staged.lock")
    late.release()
    first = HeldFolder(folder)
    first.take()
    first.remove_unless_used()
    assert not late_lock.exists()

    late.share()  # makes a new one

    assert late_lock.exists()
    assert not HeldFolder(folder).remove_unless_used()
    late.release()


def test_unused_folders_and_halves_of_removed_ones_go_and_those_in_use_stay(tmp_path: Path):
    used = filled(tmp_path / "neighbors-3-aa")
    filled(tmp_path / "neighbors-3-bb")
    filled(tmp_path / "neighbors-3-cc.removed")
    filled(tmp_path / "neighbors-31-dd")

    with hold_folder(used):
        remove_unused(tmp_path, "neighbors-3-*")

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["neighbors-3-aa", "neighbors-3-aa.lock", "neighbors-31-dd"]


def test_work_folder_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="ascii")

    with (
        pytest.raises(SettingsError, match=r"cannot be used .*; use --work-folder"),
        hold_folder(tmp_path / "file" / "staged"),
    ):
        pass


def test_disk_without_the_space_is_refused(tmp_path: Path):
    check_space(tmp_path, 1)

    with pytest.raises(SettingsError, match=r"GB free, and the embeddings take 1000000000\.0 GB"):
        check_space(tmp_path, 10**18)
