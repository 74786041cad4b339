"""Ways to combine examples and rejects, compared on galaxies of known class.

    python benchmarks/examples.py --simulation 3000 --work FOLDER
    python benchmarks/examples.py --pictures IMAGES.tar LABELS.csv --work FOLDER

``--among`` keeps only galaxies of some labels, and ``--kinds`` says which of them are searched for.
The encoder is trained without labels on the same images (recipe small) and kept in the work folder,
so that a second run takes seconds. Prints Markdown; docs/decisions/0004 explains the table.
"""

import argparse
import csv
import tarfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from skylike.catalog.object_ids import legacy_object_ids
from skylike.devices import choose_device
from skylike.embeddings.checkpoint import load_encoder
from skylike.embeddings.compact import CompactBasis, Moments, default_components, unit_rows
from skylike.embeddings.recipe import replace_fields
from skylike.embeddings.recipes import load_recipe
from skylike.embeddings.training.run_state import TrainingFiles
from skylike.embeddings.training.train import train_encoder
from skylike.evaluation.examples import Scorer, judge_feedback
from skylike.files import replaced_file
from skylike.images.index import CutoutFile, CutoutIndex
from skylike.images.pictures import decode_picture
from skylike.images.read import iter_pixels
from skylike.search.examples import Example, combine
from skylike.simulation.simulate import simulate
from skylike.simulation.truth import read_truth

Vectors = npt.NDArray[np.float64]

SETTINGS = ((1, 0), (1, 1), (1, 3), (1, 10), (3, 0), (3, 3), (10, 0), (10, 10), (30, 30))
"""Examples and rejects; a class needs four times the examples."""


def index_of(paths: list[Path], kind: str) -> CutoutIndex:
    """Index all rows of HDF5 files of cutouts."""
    files, file_ids, rows = {}, [], []
    for number, path in enumerate(paths, 1):
        with h5py.File(path) as file:
            n = len(file["images"])
        files[number] = CutoutFile(number, path, kind, ("g", "r", "z"), 152, 0.262)
        file_ids.append(np.full(n, number, np.int32))
        rows.append(np.arange(n, dtype=np.int32))
    file_id, row = np.concatenate(file_ids), np.concatenate(rows)
    ids = np.arange(len(row), dtype=np.int32)
    unknown = np.full((len(row), 3), np.nan, np.float32)
    return CutoutIndex(ids, ids, file_id, row, unknown[:, 0], unknown, files)


def simulated(work: Path, galaxies: int) -> tuple[CutoutIndex, npt.NDArray[np.str_]]:
    """Simulate a survey: cutouts and their true classes."""
    survey = simulate(work / "survey", galaxies=galaxies, seed=1)
    truth = read_truth(survey.truth)
    names = dict(zip(truth["object_id"].to_pylist(), truth["class"].to_pylist(), strict=True))
    ids: list[int] = []
    for path in survey.images:
        with h5py.File(path) as file:
            key = [file[name][:].astype(np.int64) for name in ("release", "brickid", "objid")]
        ids += legacy_object_ids(*key)[0].tolist()
    return index_of(list(survey.images), "flux"), np.array([names[n] for n in ids])


def pictured(
    work: Path, sources: list[tuple[Path, Path]]
) -> tuple[CutoutIndex, npt.NDArray[np.str_]]:
    """Unpack archives of JPEGs with CSVs of ``file`` and ``label``: cutouts and labels."""
    images, labels = [], []
    for archive, table in sources:
        with table.open(newline="", encoding="utf-8") as lines:
            label = {row["file"]: row["label"] for row in csv.DictReader(lines)}
        with tarfile.open(archive) as tar:
            for member in sorted(tar, key=lambda entry: entry.name):
                name = Path(member.name).name
                opened = tar.extractfile(member) if name in label else None
                if opened is not None:
                    images.append(decode_picture(opened.read(), name=name))
                    labels.append(label[name])
    path = work / "pictures.h5"
    with replaced_file(path) as part, h5py.File(part, "w") as file:
        file["images"] = np.stack(images)
    return index_of([path], "rgb"), np.array(labels)


def embed(
    index: CutoutIndex, work: Path, *, epochs: float | None, device: str
) -> npt.NDArray[np.float16]:
    """Train an encoder on the images, or take the one in the work folder, and embed them."""
    kept = work / "vectors.npy"
    if not kept.exists():
        recipe = load_recipe("small", batch_size=min(256, max(32, len(index) // 8)))
        if epochs is not None:
            recipe = replace_fields(recipe, {"epochs": epochs})
        path = work / "encoder.pt"
        if not path.exists():
            files = TrainingFiles(work, "encoder")
            path = train_encoder(index, recipe, files, device=device).path
        encoder = load_encoder(path, device=device)
        kind = next(iter(index.files.values())).kind
        vectors = np.empty((len(index), encoder.dimension), np.float16)
        for places, pixels in iter_pixels(index, batch_size=256, kind=kind):
            vectors[places] = encoder.embed(pixels, kind)
        np.save(kept, vectors)
    found: npt.NDArray[np.float16] = np.load(kept)
    return found


def spread(unit: Vectors) -> CompactBasis:
    """Return the basis that `skylike embed` would keep."""
    moments = Moments(unit.shape[1])
    moments.add(unit.astype(np.float16))
    return moments.basis(default_components(unit.shape[1]))


def skylike_way(unit: Vectors, basis: CompactBasis) -> Scorer:
    """Score as skylike does."""

    def score(examples: Vectors, rejects: Vectors) -> Vectors:
        chosen = [Example(str(n), vector) for n, vector in enumerate(examples)]
        against = [Example(str(n), vector) for n, vector in enumerate(rejects)]
        return unit @ combine(chosen, against, basis).vector

    return score


def one_direction(unit: Vectors, basis: CompactBasis) -> dict[str, Scorer]:
    """Give the ways that end in one direction, as they are in the literature."""
    mean = basis.mean
    variance = basis.explained_variance * (1 - mean @ mean)  # unit vectors: E x^2 = 1
    d, m = unit.shape[1], len(variance)
    rest = max((1 - mean @ mean - variance.sum()) / max(d - m, 1), 0.0)
    ridge = variance.mean()

    def whitened(difference: Vectors) -> Vectors:
        along = basis.directions @ difference
        off = difference - along @ basis.directions
        return (along / (variance + ridge)) @ basis.directions + off / (rest + ridge)

    def rocchio(weight: float) -> Scorer:
        def score(examples: Vectors, rejects: Vectors) -> Vectors:
            away = weight * rejects.mean(axis=0) if len(rejects) else 0
            return unit @ (examples.mean(axis=0) - away)

        return score

    def projected(examples: Vectors, rejects: Vectors) -> Vectors:
        target = examples.mean(axis=0)
        if len(rejects):
            axis = rejects.mean(axis=0) - mean
            axis /= np.linalg.norm(axis)
            target = target - (axis @ (target - mean)) * axis
        return unit @ target

    def centered(examples: Vectors, rejects: Vectors) -> Vectors:
        away = 0.5 * (rejects.mean(axis=0) - mean) if len(rejects) else 0
        return unit @ (examples.mean(axis=0) - mean - away)

    def discriminant(examples: Vectors, rejects: Vectors) -> Vectors:
        # Three galaxies' worth of the mean of all keep few rejects from standing for all others.
        others = (3 * mean + rejects.sum(axis=0)) / (3 + len(rejects))
        return unit @ whitened(examples.mean(axis=0) - others)

    return {
        "mean": rocchio(0.0),
        "Rocchio, 0.25": rocchio(0.25),
        "Rocchio, 0.5": rocchio(0.5),
        "Rocchio, 1": rocchio(1.0),
        "mean removed, Rocchio 0.5": centered,
        "orthogonal to the rejects": projected,
        "shrinkage LDA": discriminant,
        "logistic regression, from the mean": logistic(unit, whitened),
        "skylike": skylike_way(unit, basis),
    }


def logistic(unit: Vectors, whitened: Callable[[Vectors], Vectors]) -> Scorer:
    """Score by a logistic regression that starts from the mean of the examples.

    It moves from there as little as the rejects ask, measured in the whitened space.
    """

    def score(examples: Vectors, rejects: Vectors) -> Vectors:
        start = 10 * examples.mean(axis=0) / np.linalg.norm(examples.mean(axis=0))
        if not len(rejects):
            return unit @ start
        rows = np.vstack([examples, rejects])
        sign = np.r_[np.ones(len(examples)), -np.ones(len(rejects))]
        share = np.where(sign > 0, 1 / len(examples), 1 / len(rejects))
        ways = np.array([whitened(row) for row in rows])
        ways *= np.trace(rows @ rows.T) / np.trace(rows @ ways.T)
        gram = rows @ ways.T

        def loss(values: Vectors) -> tuple[float, Vectors]:
            along, shift = values[:-1], values[-1]
            margin = sign * (rows @ start + gram @ along + shift)
            slope = -share * sign / (1 + np.exp(margin))
            total = (share * np.logaddexp(0, -margin)).sum() + 0.005 * along @ gram @ along
            return total, np.r_[gram @ slope + 0.01 * gram @ along, slope.sum()]

        found = minimize(loss, np.zeros(len(rows) + 1), jac=True, method="L-BFGS-B")
        return unit @ (start + ways.T @ found.x[:-1])

    return score


def no_direction(unit: Vectors) -> dict[str, Scorer]:
    """Give ways that are not one direction: what being one costs."""

    def best(examples: Vectors, _rejects: Vectors) -> Vectors:
        return (unit @ examples.T).max(axis=1)

    def nearest(examples: Vectors, rejects: Vectors) -> Vectors:
        away = (unit @ rejects.T).max(axis=1) if len(rejects) else 0
        return (unit @ examples.T).max(axis=1) - away

    def softened(examples: Vectors, rejects: Vectors) -> Vectors:
        away = 0.5 * (unit @ rejects.T).max(axis=1) if len(rejects) else 0
        return unit @ examples.mean(axis=0) - away

    return {
        "(best match among the examples)": best,
        "(nearest example minus nearest reject)": nearest,
        "(mean minus half the nearest reject)": softened,
    }


def compare(
    vectors: npt.NDArray[np.float16], labels: npt.NDArray[np.str_], kinds: list[str], trials: int
) -> list[str]:
    """Compare all ways and write the table: average precision and precision@20."""
    unit = unit_rows(vectors)
    basis = spread(unit)
    scorers = one_direction(unit, basis) | no_direction(unit)
    cells: dict[str, list[str]] = {name: [] for name in scorers}
    heads = []
    for n_examples, n_rejects in SETTINGS:
        here = [kind for kind in kinds if (labels == kind).sum() >= 4 * n_examples]
        found = [
            judge_feedback(
                scorers,
                unit,
                labels == kind,
                n_examples=n_examples,
                n_rejects=n_rejects,
                trials=trials,
            )
            for kind in here
        ]
        heads.append(f"{n_examples} + {n_rejects}")
        for name in scorers:
            mean_ap = np.mean([scores[name].average_precision for scores in found])
            mean_p = np.mean([scores[name].precision for scores in found])
            cells[name].append(f"{mean_ap:.2f} / {mean_p:.2f}")
    lines = [f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    return lines + [f"| {name} | {' | '.join(row)} |" for name, row in cells.items()]


def main() -> None:
    """Make the vectors, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulation", type=int, metavar="GALAXIES")
    parser.add_argument("--pictures", nargs=2, type=Path, action="append", metavar="FILE")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--among", help="labels to keep, separated by commas; default: all")
    parser.add_argument("--kinds", help="labels to search for; default: all that are kept")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=float, help="default: the recipe's")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.simulation:
        index, labels = simulated(options.work, options.simulation)
    else:
        index, labels = pictured(options.work, [tuple(pair) for pair in options.pictures])
    device = choose_device(options.device)
    vectors = embed(index, options.work, epochs=options.epochs, device=device)
    if options.among:
        keep = np.isin(labels, options.among.split(","))
        vectors, labels = vectors[keep], labels[keep]
    kinds = options.kinds.split(",") if options.kinds else np.unique(labels).tolist()
    print(f"{len(vectors):,} galaxies, {vectors.shape[1]} dimensions; {', '.join(kinds)}\n")
    print("\n".join(compare(vectors, labels, kinds, options.trials)))


if __name__ == "__main__":
    main()
