import csv
import io
import json
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from skylike.embeddings.checkpoint import load_encoder, save_encoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipe import TrainRecipe
from skylike.errors import ImageFileError, SettingsError, SurveyFileError
from skylike.evaluation.baselines import baseline_extractors
from skylike.evaluation.label_metrics import Truth, measure_vectors
from skylike.evaluation.label_report import SCHEMA, report_values
from skylike.evaluation.label_table import VOTES_COLUMN, LabelColumns, read_label_table
from skylike.evaluation.labels import LabelQuestion, evaluate_labels
from skylike.evaluation.lineup import Lineup, choose_extractors
from skylike.evaluation.methods import (
    Extractor,
    Method,
    encoder_extractor,
    untrained_extractor,
)
from skylike.evaluation.similar import as_stored


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def bright(value: int, *, size: int = 152) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, pictures: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in pictures.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def brightness_extractor() -> Extractor:
    """Compare by the angle that the brightness stands for: near brightnesses are alike."""

    def extract(pixels: np.ndarray, kind: str) -> list[np.ndarray]:
        angle = pixels.reshape(len(pixels), -1).mean(axis=1).astype(np.float64) / 100
        return [as_stored(np.column_stack([np.cos(angle), np.sin(angle)]))]

    return Extractor((Method("brightness", "baseline"),), extract)


@pytest.fixture
def two_classes(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve dark and twelve bright pictures, and their CSV."""
    values = {f"dark{i}.png": 10 + i for i in range(12)} | {
        f"pale{i}.png": 200 + i for i in range(12)
    }
    images = write_tar(tmp_path / "images.tar", {n: bright(v) for n, v in values.items()})
    rows = [{"file": name, "label": name[:4]} for name in values]
    return images, write_csv(tmp_path / "labels.csv", rows)


def ask(images: Path, labels: Path, *, columns: LabelColumns | None = None, **options):
    question = LabelQuestion((images,), labels, columns or LabelColumns(), **options)
    return evaluate_labels(question, [brightness_extractor()])


def test_classes_that_brightness_separates_are_found_wholly(two_classes: tuple[Path, Path]):
    report = ask(*two_classes)

    scores = report.methods[0].scores
    dark = scores.classes["dark"]
    assert report.n_by_class == {"dark": 12, "pale": 12}
    assert dark["precision@10"].estimate.value == 1
    assert dark["precision@10"].chance == pytest.approx(11 / 23)
    assert dark["ndcg@10"].estimate.value == pytest.approx(1)
    assert dark["precision@100"] is None  # there are no 100 others
    for name in ("1_neighbor_accuracy", "10_neighbor_accuracy", "linear_probe_accuracy"):
        assert scores.overall[name].estimate.value == 1
        assert scores.overall[f"balanced_{name}"].chance == 0.5


def test_metrics_by_hand():
    # On a circle: a a b a ... with lists known from the angles.
    angles = np.deg2rad([0, 1, 2.5, 5, 90, 91, 93, 96, 100, 105, 111, 118])
    stored = as_stored(np.column_stack([np.cos(angles), np.sin(angles)]))
    classes = np.array([0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    truth = Truth(("a", "b"), classes, {}, {})

    scores = measure_vectors(stored, truth)

    a, b = scores.classes["a"], scores.classes["b"]
    # Nearest of 0, 1 and 5 degrees: 1, 0 and 2.5; of 2.5: 1 degree.
    assert a["precision@1"].estimate.value == pytest.approx(2 / 3)
    assert b["precision@1"].estimate.value == pytest.approx(8 / 9)
    assert a["precision@10"].estimate.value == pytest.approx(0.2)
    assert a["precision@10"].ceiling == pytest.approx(0.2)
    assert a["1_neighbor_accuracy"].estimate.value == pytest.approx(2 / 3)
    ideal = 1 + 1 / np.log2(3)
    by_hand = [
        (1 + 1 / np.log2(4)) / ideal,
        (1 + 1 / np.log2(4)) / ideal,
        (1 / np.log2(3) + 0.5) / ideal,
    ]
    assert a["ndcg@10"].estimate.value == pytest.approx(np.mean(by_hand))
    assert scores.overall["mean_precision@1"].estimate.value == pytest.approx((2 / 3 + 8 / 9) / 2)


def test_vote_fractions_are_graded_relevance_and_choose_the_queries(tmp_path: Path):
    values = {f"{i}.png": 10 + 8 * i for i in range(14)}
    images = write_tar(tmp_path / "images.tar", {n: bright(v) for n, v in values.items()})
    rows = [
        {
            "file": n,
            "arms": "" if i == 13 else max(0, 1 - 0.04 * i),
            VOTES_COLUMN: 2 if i == 1 else 9,
        }
        for i, n in enumerate(values)
    ]
    labels = write_csv(tmp_path / "labels.csv", rows)

    report = ask(images, labels, columns=LabelColumns(fractions=("arms",)))

    score = report.methods[0].scores.fractions["arms"]["ndcg@10"]
    # 1.0 and 0.92 are above 0.9; 0.96 has too few votes. Brightness ranks by relevance for the
    # first; the third has neighbors on both sides.
    assert report.n_queries == {"arms": 2}
    assert score.estimate.n == 2
    assert score.estimate.high == 1
    assert 0.95 < score.estimate.low < 1
    assert 0.3 < score.chance < 0.95


def test_what_does_not_join_is_counted(tmp_path: Path, two_classes: tuple[Path, Path]):
    images, _ = two_classes
    rows = [{"file": f"./dark{i}.png", "label": "dark"} for i in range(12)]
    rows += [{"file": f"pale{i}.png", "label": "pale"} for i in range(6)]
    rows += [{"file": "pale6.png", "label": ""}, {"file": "gone.png", "label": "pale"}]
    rows += [{"file": "dark0.png", "label": "pale"}, {"file": "pale7.png", "label": "odd"}]
    labels = write_csv(tmp_path / "some.csv", rows)

    report = ask(images, labels, ignored=("odd",))

    assert report.n_by_class == {"dark": 12, "pale": 6}
    assert report.left_out == {
        "images that the table does not name": 4,
        "rows of the table without an image": 2,
        "rows of the table that name an image again": 1,
        "rows of the table without a class": 1,
        "rows of ignored classes": 1,
    }


def test_a_picture_that_cannot_be_read_is_counted(tmp_path: Path, two_classes: tuple[Path, Path]):
    _, labels = two_classes
    pictures = {f"dark{i}.png": bright(10 + i) for i in range(12)}
    pictures |= {f"pale{i}.png": bright(200 + i) for i in range(2)}
    pictures["pale2.png"] = b"no picture"

    report = ask(write_tar(tmp_path / "bad.tar", pictures), labels)

    assert report.n_images == 14
    assert report.left_out["images that cannot be read"] == 1


@pytest.mark.parametrize("key", ["object_id", "row"])
def test_flux_in_hdf5_joins_by_identifier_or_row(tmp_path: Path, key: str):
    images = tmp_path / "images.h5"
    ids = 10**17 + np.arange(14)[::-1]
    with h5py.File(images, "w") as file:
        flux = np.arange(1, 15, dtype=np.float32)[:, None, None, None]
        file["images"] = np.broadcast_to(flux, (14, 3, 152, 152))
        file["object_id"] = ids
    keys = ids if key == "object_id" else np.arange(14)
    rows = [{key: keys[i], "class": "faint" if i < 7 else "bright"} for i in range(14)]

    report = ask(images, write_csv(tmp_path / "truth.csv", rows))

    assert report.n_by_class == {"bright": 7, "faint": 7}
    assert report.methods[0].scores.overall["1_neighbor_accuracy"].estimate.value > 0.8


def test_a_table_of_other_images_is_refused(tmp_path: Path, two_classes: tuple[Path, Path]):
    labels = write_csv(tmp_path / "other.csv", [{"file": "x.png", "label": "a"}])

    with pytest.raises(ImageFileError, match="none of its rows is of an image"):
        ask(two_classes[0], labels)


def test_a_fraction_beyond_one_is_refused(tmp_path: Path):
    labels = write_csv(tmp_path / "t.csv", [{"file": "x.png", "arms": 57}])

    with pytest.raises(SurveyFileError, match="from 57 to 57; a vote fraction is from 0 to 1"):
        read_label_table(labels, LabelColumns(fractions=("arms",)))


def test_a_fraction_that_nobody_reaches_is_refused(tmp_path: Path, two_classes: tuple[Path, Path]):
    rows = [{"file": f"dark{i}.png", "arms": 0.5} for i in range(12)]
    columns = LabelColumns(fractions=("arms",))

    with pytest.raises(SettingsError, match="lower --query-fraction"):
        ask(two_classes[0], write_csv(tmp_path / "t.csv", rows), columns=columns)


def small_encoder(path: Path) -> Path:
    recipe = TrainRecipe(
        name="tiny",
        architecture="resnet18",
        width=0.125,
        stem="strided",
        input="rgb",
        bin_pix=2,
        batch_size=8,
        queue=64,
        normalization_groups=1,
        projection_hidden=16,
        projection_dimension=8,
    )
    torch.manual_seed(5)
    save_encoder(path, build_network(recipe), recipe, preprocessing_of(recipe), {})
    return path


def refuse_database():
    raise AssertionError("the database was asked for")


def test_the_answer_of_an_encoder_does_not_depend_on_order_or_run(
    tmp_path: Path, two_classes: tuple[Path, Path]
):
    images, labels = two_classes
    with tarfile.open(images) as archive:
        pictures = {m.name: archive.extractfile(m).read() for m in archive}
    turned = write_tar(tmp_path / "turned.tar", dict(reversed(pictures.items())))
    lineup = Lineup((str(small_encoder(tmp_path / "tiny.pt")),), ("features", "projection"))

    answers = []
    for tar in (images, turned):
        extractors = choose_extractors(lineup, open_database=refuse_database, device="cpu")
        values = report_values(evaluate_labels(LabelQuestion((tar,), labels), extractors))
        answers.append([(m["name"], m["overall"], m["classes"]) for m in values["methods"]])

    assert answers[0] == answers[1]
    names = [name for name, _, _ in answers[0]]
    assert names[:2] == ["tiny", "tiny (projection)"]
    assert names[2:] == ["pixel PCA", "log-polar descriptor", "untrained resnet18 x0.125"]


def test_the_untrained_network_has_the_seed_s_weights_and_not_the_encoder_s(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 3, 152, 152), dtype=np.uint8)
    encoder = load_encoder(small_encoder(tmp_path / "tiny.pt"))
    state = torch.random.get_rng_state()

    first, again, other = (
        np.concatenate(untrained_extractor(encoder, seed=seed).extract(pixels, "rgb"))
        for seed in (1, 1, 2)
    )

    own = np.concatenate(encoder_extractor(encoder, name="tiny").extract(pixels, "rgb"))
    assert (first == again).all()
    assert (first != other).any()
    assert (first != own).any()
    assert torch.equal(state, torch.random.get_rng_state())


def test_vectors_of_an_encoder_are_those_that_the_database_would_hold(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 3, 152, 152), dtype=np.uint8)
    pixels[2] = 0
    encoder = load_encoder(small_encoder(tmp_path / "tiny.pt"))
    layers = ("features", "projection")

    found = encoder_extractor(encoder, name="tiny", layers=layers).extract(pixels, "rgb")

    for layer, vectors in zip(layers, found, strict=True):
        stored = encoder.embed(pixels, "rgb", layer=layer).astype(np.float16)
        np.testing.assert_array_equal(vectors, stored)


def run_command(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: str) -> None:
    from skylike_cli import main, session

    monkeypatch.setenv("SKYLIKE_HOME", str(home))
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setattr(sys, "argv", ["skylike", "evaluate", "labels", *arguments])
    session.settings.cache_clear()
    with pytest.raises(SystemExit) as end:
        main.run()
    session.settings.cache_clear()
    assert end.value.code in {0, None}


def test_the_command_evaluates_real_galaxies_without_a_database(
    tmp_path: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    folder = shared_data / "galaxy_zoo1"
    with (folder / "galaxy_zoo1.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chosen = [
        r
        for c in ("edge_on", "elliptical", "spiral")
        for r in [r for r in rows if r["label"] == c][:20]
    ]
    wanted = {row["file"] for row in chosen}
    with tarfile.open(folder / "galaxy_zoo1.tar") as archive:
        pictures = {m.name: archive.extractfile(m).read() for m in archive if m.name in wanted}
    images = write_tar(tmp_path / "sixty.tar", pictures)
    labels = write_csv(tmp_path / "sixty.csv", chosen)
    encoder, output = small_encoder(tmp_path / "tiny.pt"), tmp_path / "answer.json"
    arguments = ["--images", str(images), "--labels", str(labels), "--encoder", str(encoder)]

    run_command(monkeypatch, tmp_path, *arguments, "--layer", "both", "--output", str(output))
    table = capsys.readouterr().out
    run_command(monkeypatch, tmp_path, *arguments, "--format", "json", "--no-baselines")
    printed = json.loads(capsys.readouterr().out)

    answer = json.loads(output.read_text(encoding="utf-8"))
    assert answer["schema"] == printed["schema"] == SCHEMA
    assert answer["images"]["n_by_class"] == {"edge_on": 20, "elliptical": 20, "spiral": 20}
    methods = {method["name"]: method for method in answer["methods"]}
    assert [method["name"] for method in printed["methods"]] == ["tiny"]
    assert printed["methods"][0]["classes"] == methods["tiny"]["classes"]
    assert methods["tiny"]["about"]["recipe"] == "tiny"
    descriptor = methods["log-polar descriptor"]["classes"]["edge_on"]["precision@10"]
    assert descriptor["chance"] == pytest.approx(19 / 59, abs=1e-6)
    assert descriptor["low"] <= descriptor["value"] <= descriptor["high"]
    assert descriptor["low"] > descriptor["chance"]  # edge-on disks are the easy ones
    assert methods["tiny"]["classes"]["spiral"]["precision@100"] is None
    for name in ("pixel PCA", "tiny (projection)", "edge_on (20 images)", "probe"):
        assert name in table


def test_baselines_tell_nothing_apart_where_there_is_nothing(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 152, 152, 3), dtype=np.uint8)
    buffers = {}
    for i, pixels in enumerate(noise):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        buffers[f"{i}.png"] = buffer.getvalue()
    rows = [{"file": name, "label": "even" if i % 2 else "odd"} for i, name in enumerate(buffers)]
    images = write_tar(tmp_path / "noise.tar", buffers)
    question = LabelQuestion((images,), write_csv(tmp_path / "noise.csv", rows))

    report = evaluate_labels(question, baseline_extractors())

    for measured in report.methods:
        score = measured.scores.overall["mean_precision@10"]
        assert abs(score.estimate.value - score.chance) < 0.1
