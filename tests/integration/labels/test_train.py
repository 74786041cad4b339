"""Classifiers of labels: scores of all galaxies, replaced at once, known to be out of date."""

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from label_factory import clustered_vectors
from search_factory import fill, insert_embeddings, insert_encoder, scattered_sky
from skylike.database.engine import make_engine
from skylike.errors import EmptyStageError, NotFoundError, SettingsError
from skylike.labels import store_classifier
from skylike.labels.choose import Source
from skylike.labels.classifier import LinearModel
from skylike.labels.metrics import average_precision
from skylike.labels.overview import fetch_labels, overview_json, overview_lines
from skylike.labels.say import add_labels, remove_labels
from skylike.labels.store import fetch_score_names
from skylike.labels.training import missing_negatives, train_classifier, train_lines
from skylike.search.suggest import SuggestQuery, suggest_galaxies

N = 1200


@pytest.fixture
def truth(engine: Engine) -> np.ndarray:
    """A searchable sky with a rare class; of galaxy n + 1, is it one?"""
    vectors, is_member = clustered_vectors(N, 32, rare=0.04)
    fill(engine, scattered_sky(vectors))
    return is_member


def ids_of(truth: np.ndarray, count: int) -> tuple[int, ...]:
    return tuple((np.flatnonzero(truth)[:count] + 1).tolist())


def scores(engine: Engine, name: str = "ring") -> dict[int, float]:
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT galaxy_id, score FROM skylike.classifier_score WHERE name = :name"),
            {"name": name},
        ).all()
    return {row.galaxy_id: row.score for row in rows}


def test_training_when_done_then_all_galaxies_have_scores_that_find_the_members(
    engine: Engine, truth: np.ndarray
):
    add_labels(engine, "ring", Source(ids_of(truth, 20)), author="ada")

    report = train_classifier(engine, "ring")

    found = scores(engine)
    assert set(found) == set(range(1, N + 1))
    assert report.n_scored == N
    unseen = np.setdiff1d(np.arange(1, N + 1), ids_of(truth, 20))
    of_unseen = np.array([found[n] for n in unseen.tolist()])
    assert average_precision(of_unseen, truth[unseen - 1]) > 10 * truth[unseen - 1].mean()
    assert report.trained.n_random == missing_negatives(20, 0, n_unlabeled=N - 20) == 295
    assert "295 random unlabeled galaxies taken for not-members" in train_lines(report)[0]
    with engine.connect() as connection:
        assert fetch_score_names(connection) == ["ring"]


def test_training_when_repeated_then_gives_the_same(engine: Engine, truth: np.ndarray):
    add_labels(engine, "ring", Source(ids_of(truth, 10)), author="ada")

    first = train_classifier(engine, "ring", seed=7)
    before = scores(engine)
    again = train_classifier(engine, "ring", seed=7)

    assert scores(engine) == before
    assert again.trained.metrics == first.trained.metrics
    assert scores(engine) != _retrained_with(engine, seed=8)


def _retrained_with(engine: Engine, *, seed: int) -> dict[int, float]:
    train_classifier(engine, "ring", seed=seed)
    return scores(engine)


def test_stored_weights_when_applied_then_give_the_stored_scores(engine: Engine, truth: np.ndarray):
    add_labels(engine, "ring", Source(ids_of(truth, 10)), author="ada")
    train_classifier(engine, "ring")

    with engine.connect() as connection:
        row = connection.execute(sa.text("SELECT * FROM skylike.classifier")).one()
        vector = connection.scalar(
            sa.text("SELECT embedding FROM skylike.embedding WHERE galaxy_id = 5")
        ).to_numpy()

    model = LinearModel(np.array(row.weights), row.intercept, row.regularization)
    assert model.scores(vector[None, :])[0] == pytest.approx(scores(engine)[5], abs=1e-5)
    assert (row.n_members, row.n_not_members, row.n_scored) == (10, 0, N)


def test_scores_when_replaced_then_readers_see_old_ones_until_all_new_ones_are_there(
    engine: Engine, truth: np.ndarray, database_url: URL, monkeypatch: pytest.MonkeyPatch
):
    add_labels(engine, "ring", Source(ids_of(truth, 10)), author="ada")
    train_classifier(engine, "ring", seed=1)
    before = scores(engine)
    seen: list[dict[int, float]] = []
    other = make_engine(database_url)
    copy = store_classifier._copy_scores

    def copy_and_look(*arguments: object) -> int:
        written = copy(*arguments)
        seen.append(scores(other))
        return written

    monkeypatch.setattr(store_classifier, "_BATCH_ROWS", 500)
    monkeypatch.setattr(store_classifier, "_copy_scores", copy_and_look)
    train_classifier(engine, "ring", seed=2)
    other.dispose()

    assert len(seen) == 3
    assert all(look == before for look in seen)
    assert scores(engine) != before


def test_scores_when_the_writing_fails_then_stay(
    engine: Engine, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    add_labels(engine, "ring", Source(ids_of(truth, 10)), author="ada")
    train_classifier(engine, "ring", seed=1)
    before = scores(engine)

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_classifier, "_write_classifier", fail)
    with pytest.raises(OSError, match="No space left"):
        train_classifier(engine, "ring", seed=2)

    assert scores(engine) == before


def test_overview_when_embeddings_or_labels_change_then_says_that_scores_are_older(
    engine: Engine, truth: np.ndarray
):
    add_labels(engine, "ring", Source(ids_of(truth, 10)), author="ada")
    train_classifier(engine, "ring")
    fresh = overview_lines(fetch_labels(engine))

    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE skylike.encoder SET embedded_at = now()"))
    add_labels(engine, "ring", Source((1,)), author="ben", is_member=False)
    stale = "\n".join(overview_lines(fetch_labels(engine)))

    assert not any("note:" in line for line in fresh)
    assert "scores are older than embeddings; run `skylike label train ring` again" in stale
    assert "labels changed after the training" in stale
    assert '"embeddings_are_newer": true' in overview_json(fetch_labels(engine))


def test_classifier_when_trained_with_another_encoder_then_is_replaced(
    engine: Engine, truth: np.ndarray
):
    add_labels(engine, "ring", Source(ids_of(truth, 10)), author="ada")
    train_classifier(engine, "ring")
    vectors, _ = clustered_vectors(300, 16, seed=3)
    other = insert_encoder(engine, dimension=16, name="other", is_active=False)
    insert_embeddings(engine, other, vectors)

    add_labels(engine, "ring", Source(ids_of(truth[:300], 10)), author="ada")
    train_classifier(engine, "ring", encoder="other")

    (label,) = fetch_labels(engine)
    assert (label.encoder, label.n_scored) == ("other", 300)
    assert set(scores(engine)) == set(range(1, 301))
    assert "encoder other is not the active one" in "\n".join(overview_lines([label]))


def test_training_when_members_are_few_then_says_what_to_do(engine: Engine, truth: np.ndarray):
    add_labels(engine, "ring", Source(ids_of(truth, 4)), author="ada")

    with pytest.raises(
        SettingsError, match=r"4 members .* needs 5; find more with `skylike label suggest ring`"
    ):
        train_classifier(engine, "ring")


def test_training_when_there_is_nothing_else_to_learn_from_then_is_refused(
    engine: Engine, truth: np.ndarray
):
    add_labels(engine, "ring", Source(ids_of(truth, 8)), author="ada")

    with pytest.raises(SettingsError, match="no galaxies to tell its members from"):
        train_classifier(engine, "ring", n_random=0)


def test_training_when_all_members_show_one_patch_of_sky_then_is_refused(
    engine: Engine, truth: np.ndarray
):
    add_labels(engine, "ring", Source(ids_of(truth, 6)), author="ada")
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                'UPDATE skylike.galaxy SET ra = 10, "dec" = 20 WHERE galaxy_id IN'
                " (SELECT galaxy_id FROM skylike.label)"
            )
        )

    with pytest.raises(SettingsError, match="too few places of the sky"):
        train_classifier(engine, "ring")


def test_training_when_the_label_or_embeddings_are_missing_then_says_so(engine: Engine):
    insert_encoder(engine, dimension=8)
    with pytest.raises(NotFoundError, match="nothing is labeled ring"):
        train_classifier(engine, "ring")

    with engine.begin() as connection:
        survey = connection.scalar(
            sa.text("INSERT INTO skylike.survey (name) VALUES ('s') RETURNING survey_id")
        )
        connection.execute(
            sa.text(
                'INSERT INTO skylike.galaxy (galaxy_id, survey_id, object_id, ra, "dec",'
                " healpix29) VALUES (1, :survey, 1, 0, 0, 0)"
            ),
            {"survey": survey},
        )
    add_labels(engine, "ring", Source((1,)), author="ada")
    with pytest.raises(EmptyStageError, match="run `skylike embed --encoder small`"):
        train_classifier(engine, "ring")


def test_zero_vectors_when_scored_then_have_no_score(engine: Engine):
    vectors, is_member = clustered_vectors(600, 32, rare=0.05)
    vectors[10] = 0
    is_member[10] = False
    fill(engine, scattered_sky(vectors))
    add_labels(engine, "ring", Source(ids_of(is_member, 10)), author="ada")

    report = train_classifier(engine, "ring")

    assert report.n_scored == 599
    assert 11 not in scores(engine)


def test_remove_when_nothing_is_left_then_the_classifier_goes(engine: Engine, truth: np.ndarray):
    add_labels(engine, "ring", Source(ids_of(truth, 10)), author="ada")
    train_classifier(engine, "ring")

    report = remove_labels(engine, "ring", None, author=None)

    assert report.classifier_removed
    assert scores(engine) == {}
    assert fetch_labels(engine) == []


def test_suggestions_when_asked_twice_then_are_the_same_and_not_labeled(
    engine: Engine, truth: np.ndarray
):
    add_labels(engine, "ring", Source(ids_of(truth, 5)), author="ada")
    add_labels(engine, "ring", Source((2,)), author="ada", is_member=False)

    first = suggest_galaxies(engine, SuggestQuery("ring", k=12)).result
    again = suggest_galaxies(engine, SuggestQuery("ring", k=12)).result

    suggested = first.rows["galaxy_id"].to_pylist()
    assert suggested == again.rows["galaxy_id"].to_pylist()
    assert len(set(suggested)) == 12
    assert not set(suggested) & {*ids_of(truth, 5), 2}
    assert set(first.rows["reason"].to_pylist()) == {"likely", "doubtful"}
    assert first.provenance.matched == N - 6
    assert set(first.rows.column_names) == set(first.meanings)
    likely = [r["galaxy_id"] for r in first.rows.to_pylist() if r["reason"] == "likely"]
    assert truth[np.array(likely) - 1].mean() > 5 * truth.mean()


def test_suggestions_when_there_is_one_member_then_are_made(engine: Engine, truth: np.ndarray):
    add_labels(engine, "ring", Source(ids_of(truth, 1)), author="ada")

    found = suggest_galaxies(engine, SuggestQuery("ring", k=10))

    assert found.result.rows.num_rows == 10
    assert [example.galaxy_id for example in found.members] == list(ids_of(truth, 1))


def test_suggestions_when_cut_then_meet_the_cut_with_scores_in_it(
    engine: Engine, truth: np.ndarray
):
    add_labels(engine, "ring", Source(ids_of(truth, 10)), author="ada")
    train_classifier(engine, "ring")
    query = SuggestQuery("ring", k=10, where="mag_r < 17 AND score_ring > 0.3")

    rows = suggest_galaxies(engine, query).result.rows.to_pylist()

    known = scores(engine)
    assert rows
    assert all(row["mag_r"] < 17 and known[row["galaxy_id"]] > 0.3 for row in rows)


def test_suggestions_when_too_few_match_then_all_are_given_with_the_reason(
    engine: Engine, truth: np.ndarray
):
    add_labels(engine, "ring", Source(ids_of(truth, 5)), author="ada")
    free = sorted(set(range(1, N + 1)) - set(ids_of(truth, 5)))[:3]

    query = SuggestQuery("ring", k=10, where=f"galaxy_id IN ({', '.join(map(str, free))})")
    result = suggest_galaxies(engine, query).result
    none = suggest_galaxies(engine, SuggestQuery("ring", k=10, where="mag_r < 0")).result

    assert sorted(result.rows["galaxy_id"].to_pylist()) == free
    assert "3 of 10 found" in str(result.provenance.note)
    assert none.rows.num_rows == 0


def test_suggestions_when_near_a_labeled_galaxy_then_are_left_out(
    engine: Engine, truth: np.ndarray
):
    member = ids_of(truth, 1)[0]
    twin = ids_of(truth, 2)[1]
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                'UPDATE skylike.galaxy AS g SET ra = m.ra, "dec" = m."dec" + 0.001'
                " FROM skylike.galaxy AS m WHERE m.galaxy_id = :member AND g.galaxy_id = :twin"
            ),
            {"member": member, "twin": twin},
        )
    add_labels(engine, "ring", Source((member,)), author="ada")

    query = SuggestQuery("ring", k=10, where=f"galaxy_id IN ({twin}, {ids_of(truth, 3)[2]})")
    rows = suggest_galaxies(engine, query).result.rows

    assert rows["galaxy_id"].to_pylist() == [ids_of(truth, 3)[2]]


def test_command_line_when_followed_then_builds_a_training_set(
    engine: Engine,
    truth: np.ndarray,
    database_url: URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    from typer.testing import CliRunner

    from skylike_cli import session
    from skylike_cli.main import app

    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.chdir(tmp_path)
    session.settings.cache_clear()
    galaxies = [part for n in ids_of(truth, 8) for part in ("--galaxy", str(n))]
    said = []
    for command in (
        ["label", "add", "ring", *galaxies, "--author", "ada"],
        ["label", "suggest", "ring", "-k", "6", "--output", "next.csv"],
        ["label", "add", "ring", "--not", "--from", "next.csv", "--author", "ada"],
        ["label", "train", "ring"],
        ["label", "list"],
        ["label", "export", "ring", "--splits", "0.8,0.1,0.1", "--output", "ring.parquet"],
        ["label", "remove", "ring", "--all", "--everyone"],
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, (command, result.output, result.exception)
        said.append(result.output)
    session.close()
    session.settings.cache_clear()

    assert said[0] == "label ring: 8 new, 0 changed, 0 the same (author ada)\n"
    assert said[2].startswith("label ring: 6 new")
    assert "8 members, 6 not-members" in said[4]
    assert "ring, not-members: 6 galaxies" in said[5]
    assert said[6].splitlines()[0] == "label ring: 14 statements removed"
