"""What people say of galaxies: added, changed, taken back; by identifier and from tables."""

import threading
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from astropy.table import Table
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from search_factory import Sky, insert_galaxies
from skylike.errors import GalaxyNotFoundError, NotFoundError, SettingsError, SurveyFileError
from skylike.labels.choose import Source
from skylike.labels.overview import fetch_labels, overview_lines
from skylike.labels.say import add_labels, add_lines, remove_labels
from skylike.labels.store import AddCounts

N = 40


@pytest.fixture
def sky(engine: Engine) -> Sky:
    """Galaxies a degree from each other."""
    sky = Sky(
        ra=np.arange(10.0, 10.0 + N),
        dec=np.full(N, 20.0),
        mag_r=np.full(N, 18, np.float32),
        vectors=np.zeros((N, 2), np.float16),
    )
    insert_galaxies(engine, sky)
    return sky


def stated(engine: Engine, name: str = "ring") -> dict[tuple[int, str], bool]:
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT galaxy_id, author, is_member FROM skylike.label WHERE name = :name"),
            {"name": name},
        ).all()
    return {(row.galaxy_id, row.author): row.is_member for row in rows}


@pytest.mark.usefixtures("sky")
def test_add_when_repeated_and_changed_then_counts_new_changed_and_same(engine: Engine):
    first = add_labels(engine, "ring", Source((3, 1, 2)), author="ada")
    again = add_labels(engine, "ring", Source((1, 2, 3, 4, 4)), author="ada")
    turned = add_labels(engine, "ring", Source((1, 5)), author="ada", is_member=False)

    assert first.counts == AddCounts(new=3, changed=0, same=0)
    assert again.counts == AddCounts(new=1, changed=0, same=3)
    assert turned.counts == AddCounts(new=1, changed=1, same=0)
    assert stated(engine) == {(n, "ada"): n not in {1, 5} for n in range(1, 6)}


@pytest.mark.usefixtures("sky")
def test_note_when_left_out_then_the_one_that_is_there_stays(engine: Engine):
    add_labels(engine, "ring", Source((1,)), author="ada", note="faint")

    same = add_labels(engine, "ring", Source((1,)), author="ada")
    changed = add_labels(engine, "ring", Source((1,)), author="ada", note="bright")

    assert (same.counts.same, changed.counts.changed) == (1, 1)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT note FROM skylike.label")) == "bright"


@pytest.mark.usefixtures("sky")
def test_add_when_a_galaxy_is_unknown_then_nothing_is_written(engine: Engine):
    with pytest.raises(GalaxyNotFoundError, match="galaxy 99, 4000000000 is not in the catalog"):
        add_labels(engine, "ring", Source((1, 99, 4_000_000_000)), author="ada")

    assert stated(engine) == {}


@pytest.mark.usefixtures("sky")
def test_authors_when_they_differ_then_the_majority_counts(engine: Engine):
    add_labels(engine, "ring", Source((1, 2, 3)), author="ada")
    add_labels(engine, "ring", Source((2, 3)), author="ben", is_member=False)
    add_labels(engine, "ring", Source((3,)), author="cy", is_member=False)

    (label,) = fetch_labels(engine, "ring")

    assert (label.n_members, label.n_not_members, label.n_disputed) == (1, 1, 1)
    assert label.authors == ("ada", "ben", "cy")
    assert overview_lines([label]) == ["ring: 1 member, 1 not-member, 1 disputed (by ada, ben, cy)"]


@pytest.mark.usefixtures("sky")
def test_adds_when_many_run_at_once_then_none_fails(engine: Engine):
    failures: list[BaseException] = []
    begin = threading.Barrier(6)

    def label_all(author: str, *, downwards: bool) -> None:
        ids = tuple(range(N, 0, -1)) if downwards else tuple(range(1, N + 1))
        begin.wait()
        try:
            for turn in range(8):
                add_labels(engine, "ring", Source(ids), author=author, is_member=turn % 2 == 0)
                add_labels(engine, "ring", Source(ids), author="all", is_member=turn % 2 == 1)
                remove_labels(engine, "ring", Source(ids[:5]), author="all")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [
        threading.Thread(target=label_all, args=(f"author{n}",), kwargs={"downwards": n % 2 == 1})
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {author for _, author in stated(engine)} >= {f"author{n}" for n in range(6)}


def write(folder: Path, name: str, text: str) -> Source:
    (folder / name).write_text(text, encoding="utf-8")
    return Source(path=folder / name)


@pytest.mark.usefixtures("sky")
def test_table_when_it_has_positions_then_they_are_matched_and_the_rest_counted(
    engine: Engine, tmp_path: Path
):
    near = 0.5 / 3600
    source = write(
        tmp_path,
        "rings.csv",
        f"RA,Dec\n10,{20 + near}\n11,20\n200,20\n,20\n12,95\n10,20\n",
    )

    report = add_labels(engine, "ring", source, author="ada")

    assert stated(engine) == {(1, "ada"): True, (2, "ada"): True}
    assert report.chosen.n_rows == 6
    assert dict(report.chosen.left_out) == {
        "without a galaxy within 1 arcsec": 1,
        "whose position is missing or off the sky": 2,
        "of a galaxy that an earlier row names": 1,
    }
    assert report.chosen.largest_separation == pytest.approx(0.5, abs=0.001)
    assert "  rings.csv: 6 rows, matched within 0.50 arcsec" in add_lines(report)


@pytest.mark.usefixtures("sky")
def test_table_when_matched_within_more_then_finds_more(engine: Engine, tmp_path: Path):
    write(tmp_path, "rings.csv", f"ra,dec\n10,{20 + 3 / 3600}\n")
    path = tmp_path / "rings.csv"

    with pytest.raises(GalaxyNotFoundError, match="none of its 1 rows can be used: 1 row without"):
        add_labels(engine, "ring", Source(path=path), author="ada")
    report = add_labels(engine, "ring", Source(path=path, match_radius_arcsec=5), author="ada")

    assert report.counts.new == 1


@pytest.mark.parametrize("form", ["fits", "votable", "parquet", "ascii.ecsv", "csv"])
@pytest.mark.usefixtures("sky")
def test_table_when_of_any_format_then_galaxy_ids_are_read(
    engine: Engine, tmp_path: Path, form: str
):
    names = {"votable": "t.vot", "ascii.ecsv": "t.ecsv"}
    path = tmp_path / names.get(form, f"t.{form}")
    Table({"galaxy_id": [7, 5, 1000]}).write(path, format=form)

    report = add_labels(engine, "ring", Source(path=path), author="ada")

    assert set(stated(engine)) == {(5, "ada"), (7, "ada")}
    assert dict(report.chosen.left_out) == {"whose galaxy_id is not in the catalog": 1}


@pytest.mark.usefixtures("sky")
def test_table_when_it_names_objects_of_a_survey_then_they_count_before_galaxy_ids(
    engine: Engine, tmp_path: Path
):
    # galaxy_id is a number of one database, object_id one of the survey.
    object_id = (1 << 53) + 3
    source = write(
        tmp_path,
        "t.csv",
        f"galaxy_id,survey,object_id\n1,test,{object_id}\n2,other,{object_id}\n3,test,\n",
    )

    report = add_labels(engine, "ring", source, author="ada")

    assert stated(engine) == {(3, "ada"): True}
    assert dict(report.chosen.left_out) == {
        "whose object_id is not in the catalog": 1,
        "whose identifier is missing or no exact whole number": 1,
    }


@pytest.mark.usefixtures("sky")
def test_table_when_the_survey_is_told_then_object_ids_serve(engine: Engine, tmp_path: Path):
    path = write(tmp_path, "t.csv", f"objid\n{(1 << 53) + 9}\n").path

    add_labels(engine, "ring", Source(path=path, survey="test"), author="ada")

    assert set(stated(engine)) == {(9, "ada")}


@pytest.mark.usefixtures("sky")
def test_table_when_it_is_an_export_then_says_who_is_a_member(engine: Engine, tmp_path: Path):
    source = write(
        tmp_path,
        "t.csv",
        "galaxy_id,label,is_member\n1,ring,true\n2,ring,false\n3,lens,true\n4,ring,maybe\n"
        "5,ring,true\n5,ring,false\n",
    )

    report = add_labels(engine, "ring", source, author="ada")

    assert stated(engine) == {(1, "ada"): True, (2, "ada"): False}
    assert dict(report.chosen.left_out) == {
        "of other labels": 1,
        "whose is_member is neither true nor false": 1,
        "of a galaxy that the table calls both a member and none": 2,
    }
    with pytest.raises(SettingsError, match="leave --not out"):
        add_labels(engine, "ring", source, author="ada", is_member=False)


@pytest.mark.usefixtures("sky")
def test_table_when_it_tells_no_galaxies_then_is_refused(engine: Engine, tmp_path: Path):
    source = write(tmp_path, "t.csv", "name,flux\na,1\n")

    with pytest.raises(SurveyFileError, match="no columns that tell galaxies among name, flux"):
        add_labels(engine, "ring", source, author="ada")


@pytest.mark.usefixtures("sky")
def test_remove_when_asked_then_takes_back_what_this_author_said(engine: Engine):
    add_labels(engine, "ring", Source((1, 2)), author="ada")
    add_labels(engine, "ring", Source((1, 2)), author="ben")

    report = remove_labels(engine, "ring", Source((1,)), author="ada")
    assert report.removed == 1
    assert set(stated(engine)) == {(2, "ada"), (1, "ben"), (2, "ben")}

    assert remove_labels(engine, "ring", None, author=None).removed == 3
    with pytest.raises(NotFoundError, match="nothing is labeled ring; there is no label yet"):
        remove_labels(engine, "ring", None, author=None)


@pytest.mark.usefixtures("sky")
def test_service_role_when_it_labels_then_may_and_the_reader_may_not(
    connection: Connection,
):
    insert = sa.text(
        "INSERT INTO skylike.label (name, galaxy_id, author) VALUES ('ring', 1, 'visitor')"
    )
    connection.execute(sa.text("SET LOCAL ROLE skylike_service"))
    connection.execute(insert)
    connection.execute(sa.text("SET LOCAL ROLE skylike_reader"))

    assert connection.scalar(sa.text("SELECT count(*) FROM skylike.label")) == 1
    with pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(insert)
