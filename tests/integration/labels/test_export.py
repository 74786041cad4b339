"""Exported labels: columns, splits that stay, galaxies of one patch of sky together."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from search_factory import Sky, insert_galaxies
from skylike.errors import NotFoundError, SettingsError
from skylike.labels.choose import Source
from skylike.labels.export import ExportOptions, export_labels, export_lines
from skylike.labels.say import add_labels

N = 60
STEP = 20 / 3600
SPLITS = ExportOptions(fractions=(0.5, 0.25, 0.25))


@pytest.fixture
def sky(engine: Engine) -> Sky:
    """Twenty groups of three galaxies, each 20 arcsec from the next, so that ends are 40 apart."""
    first = np.repeat(np.arange(10.0, 30.0), 3)
    sky = Sky(
        ra=first,
        dec=np.tile([0.0, STEP, 2 * STEP], 20),
        mag_r=np.full(N, 18, np.float32),
        vectors=np.zeros((N, 2), np.float16),
    )
    insert_galaxies(engine, sky)
    return sky


def splits(engine: Engine, options: ExportOptions = SPLITS) -> dict[int, str]:
    table = export_labels(engine, ["ring"], output=None, options=options)
    return dict(zip(table["galaxy_id"].to_pylist(), table["split"].to_pylist(), strict=True))


@pytest.mark.usefixtures("sky")
def test_splits_when_labels_are_added_then_no_galaxy_moves(engine: Engine):
    # The ends of each group are too far from each other; what connects them is labeled later.
    ends = tuple(n for n in range(1, N + 1) if n % 3 != 2)
    add_labels(engine, "ring", Source(ends), author="ada")
    before = splits(engine)

    middles = tuple(n for n in range(1, N + 1) if n % 3 == 2)
    add_labels(engine, "ring", Source(middles), author="ada", is_member=False)
    after = splits(engine)

    assert {n: after[n] for n in before} == before
    assert len(after) == N


@pytest.mark.usefixtures("sky")
def test_splits_when_galaxies_show_the_same_sky_then_are_the_same(engine: Engine):
    add_labels(engine, "ring", Source(tuple(range(1, N + 1))), author="ada")

    together = splits(engine)
    alone = splits(engine, ExportOptions(fractions=SPLITS.fractions, group_within_arcsec=0))

    groups = [{together[3 * n + m] for m in (1, 2, 3)} for n in range(20)]
    assert all(len(group) == 1 for group in groups)
    assert set(together.values()) == {"train", "validation", "test"}
    assert any(len({alone[3 * n + m] for m in (1, 2, 3)}) > 1 for n in range(20))


@pytest.mark.usefixtures("sky")
def test_splits_when_the_seed_differs_then_differ(engine: Engine):
    add_labels(engine, "ring", Source(tuple(range(1, N + 1))), author="ada")

    assert splits(engine) != splits(engine, ExportOptions(fractions=SPLITS.fractions, seed=1))


@pytest.mark.usefixtures("sky")
def test_export_when_written_then_both_formats_say_the_same(engine: Engine, tmp_path: Path):
    add_labels(engine, "ring", Source((1, 4)), author="ada", note="with, comma")
    add_labels(engine, "lens", Source((2,)), author="ben", is_member=False)
    options = ExportOptions(fractions=(0.8, 0.2), with_cutouts=True)

    for name in ("labels.csv", "labels.parquet"):
        export_labels(engine, [], output=tmp_path / name, options=options)

    csv = pd.read_csv(tmp_path / "labels.csv")
    parquet = pq.read_table(tmp_path / "labels.parquet")
    assert csv.columns.tolist() == parquet.column_names
    assert csv["label"].tolist() == ["lens", "ring", "ring"]
    assert csv["galaxy_id"].tolist() == parquet["galaxy_id"].to_pylist() == [2, 1, 4]
    assert csv["object_id"].tolist() == [(1 << 53) + n for n in (2, 1, 4)]
    assert csv["is_member"].tolist() == [False, True, True]
    assert csv["note"].tolist()[1:] == ["with, comma"] * 2
    assert csv["cutout_file"].tolist() == ["/nowhere.h5"] * 3
    assert csv["cutout_row"].tolist() == parquet["cutout_row"].to_pylist() == [1, 0, 3]
    assert parquet.schema.field("ra").metadata[b"unit"] == b"deg"


@pytest.mark.usefixtures("sky")
def test_export_when_read_back_then_says_the_same(engine: Engine, tmp_path: Path):
    add_labels(engine, "ring", Source((1, 4)), author="ada")
    add_labels(engine, "ring", Source((7,)), author="ada", is_member=False)
    path = tmp_path / "labels.csv"
    export_labels(engine, ["ring"], output=path, options=ExportOptions())

    again = add_labels(engine, "ring", Source(path=path), author="ada")

    assert (again.counts.new, again.counts.changed, again.counts.same) == (0, 0, 3)


@pytest.mark.usefixtures("sky")
def test_export_when_told_then_counts_kinds_and_splits(engine: Engine):
    add_labels(engine, "ring", Source(tuple(range(1, N + 1))), author="ada")
    add_labels(engine, "ring", Source((1,)), author="ben", is_member=False)

    lines = export_lines(export_labels(engine, ["ring"], output=None, options=SPLITS))

    assert lines[0].startswith("ring, members: 60 galaxies: test ")
    assert lines[2] == "ring: authors differ on 1 galaxy, which is in both"


@pytest.mark.usefixtures("sky")
def test_export_when_a_label_is_unknown_then_names_those_there_are(engine: Engine):
    add_labels(engine, "ring", Source((1,)), author="ada")

    with pytest.raises(NotFoundError, match="nothing is labeled lens; there are ring;"):
        export_labels(engine, ["ring", "lens"], output=None, options=ExportOptions())


@pytest.mark.usefixtures("sky")
def test_export_when_the_catalog_is_too_dense_then_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("skylike.labels.export._MOST_NEARBY", 30)
    add_labels(engine, "ring", Source(tuple(range(1, N + 1))), author="ada")

    with pytest.raises(SettingsError, match="take a smaller --group-within"):
        splits(engine)
