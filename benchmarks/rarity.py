"""What neighbor tables tell, measured where the truth is known: rarity and duplicates.

    python benchmarks/rarity.py --work FOLDER [--galaxies 3000] [--encoder FILE.pt] [--json FILE]

Simulates a survey (or finds it in FOLDER/survey), embeds it with a trained encoder (of FILE, else
trained without labels, recipe small, and kept in the work folder) and with the same network before
any training, and computes neighbor lists, +-0.5 mag in r, k = 999.

Rarity: for each class and each rank whose distance could count, the area under the ROC curve, and
how many times as frequent as everywhere the class is among the 100 rarest and in the rarest tenth.
Each class but artifacts is judged a second time without those, which a cut on maskbits leaves out.

Duplicates: (1 - cos) / mean (1 - cos) of pairs of cutouts of one galaxy, shifted as the catalog's
positions of duplicates and pieces are, and of pairs of different galaxies put side by side on the
sky. ``--pictures IMAGES.tar`` adds shifted cutouts of real pictures.

docs/neighbors.md has the numbers.
"""

import argparse
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata

from skylike.bands import PIXEL_SCALE_ARCSEC
from skylike.catalog.object_ids import legacy_object_ids
from skylike.devices import choose_device
from skylike.embeddings.checkpoint import load_encoder
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.recipes import load_recipe
from skylike.embeddings.training.run_state import TrainingFiles
from skylike.embeddings.training.train import train_encoder
from skylike.images.index import CutoutFile, CutoutIndex
from skylike.images.pictures import decode_picture
from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import magnitude_windows, order_by_magnitude
from skylike.neighbors.input_hashes import row_hashes
from skylike.neighbors.statistics.duplicates import ALIKE, mean_dissimilarity
from skylike.neighbors.statistics.pairs import pair_distances
from skylike.neighbors.statistics.rarity import RANK, relative_rarity
from skylike.simulation.classes import GalaxyClass
from skylike.simulation.simulate import simulate
from skylike.simulation.truth import read_truth

RANKS = (1, 5, 10, 20, 50, 100, 999)
FIRST_ROWS = 100
ARTIFACT = str(GalaxyClass.STAR_ARTIFACT)
K, WIDTH = 999, 0.5
SHIFTS_PIX = (1, 4, 8, 15, 28)
"""Of one galaxy: 0.3 arcsec is a duplicate, 7 arcsec a piece far out in a large galaxy."""

LIMITS = (0.05, 0.1, 0.15, 0.2, 0.3)

APART_PIX = (8, 15, 28, 57, 95)
"""Of two galaxies side by side, up to 25 arcsec."""

Images = npt.NDArray[np.float32] | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Survey:
    """Cutouts (n, 3, 152, 152) in nanomaggies, classes and r magnitudes of n galaxies."""

    cutouts: npt.NDArray[np.float32]
    classes: npt.NDArray[np.str_]
    mag_r: npt.NDArray[np.float32]
    index: CutoutIndex


def simulated(work: Path, galaxies: int) -> Survey:
    """Simulate a survey, or read the one in the work folder."""
    survey = simulate(work / "survey", galaxies=galaxies, seed=1)
    truth = read_truth(survey.truth).to_pandas().set_index("object_id")
    cutouts, ids, files, file_ids, rows = [], [], {}, [], []
    for number, path in enumerate(survey.images, 1):
        with h5py.File(path) as file:
            cutouts.append(file["images"][:].astype(np.float32))
            key = [file[name][:].astype(np.int64) for name in ("release", "brickid", "objid")]
        ids.append(legacy_object_ids(*key)[0])
        files[number] = CutoutFile(number, path, "flux", ("g", "r", "z"), 152, 0.262)
        file_ids.append(np.full(len(cutouts[-1]), number, np.int32))
        rows.append(np.arange(len(cutouts[-1]), dtype=np.int32))
    known = truth.loc[np.concatenate(ids)]
    every = np.arange(len(known), dtype=np.int32)
    unknown = np.full((len(known), 3), np.nan, np.float32)
    index = CutoutIndex(
        every, every, np.concatenate(file_ids), np.concatenate(rows), unknown[:, 0], unknown, files
    )
    return Survey(
        np.concatenate(cutouts),
        known["class"].to_numpy(np.str_),
        known["mag_r"].to_numpy(np.float32),
        index,
    )


def trained(work: Path, survey: Survey, device: str) -> TrainedEncoder:
    """Train an encoder on the cutouts, or take the one in the work folder."""
    kept = sorted(work.glob("encoder*.pt"))
    if kept:
        return load_encoder(kept[0], device=device)
    recipe = load_recipe("small", batch_size=min(256, max(32, len(survey.classes) // 8)))
    made = train_encoder(survey.index, recipe, TrainingFiles(work, "encoder"), device=device)
    return load_encoder(made.path, device=device)


def untrained(encoder: TrainedEncoder) -> TrainedEncoder:
    """Return the network of an encoder as it was before training began."""
    torch.manual_seed(0)
    network = build_network(encoder.recipe).eval().to(encoder.device)
    return TrainedEncoder(network, encoder.recipe, encoder.preprocessing, encoder.device)


def embed(encoder: TrainedEncoder, images: Images, kind: str) -> npt.NDArray[np.float16]:
    """Embed images, rounded as they are stored."""
    parts = [encoder.embed(images[n : n + 128], kind) for n in range(0, len(images), 128)]
    return np.concatenate(parts).astype(np.float16)


def stage(vectors: npt.NDArray[np.float16], magnitudes: npt.NDArray[np.float32]) -> StagedVectors:
    """Put vectors in magnitude order; identifiers are places from 0."""
    ids = np.arange(len(vectors), dtype=np.int32)
    order = order_by_magnitude(ids, magnitudes)
    exact = vectors[order].astype(np.float64)
    norms = np.linalg.norm(exact, axis=1)
    return StagedVectors(
        galaxy_ids=ids[order],
        magnitudes=magnitudes[order],
        vectors=vectors[order],
        norms=norms,
        center=(exact / norms[:, None]).mean(axis=0),
        hashes=row_hashes(vectors[order], magnitudes[order]),
        n_excluded=0,
    )


def neighbors_at_ranks(staged: StagedVectors) -> dict[int, npt.NDArray[np.int64]]:
    """Search, and return the neighbor of each galaxy at each rank; -1 in shorter lists."""
    windows = magnitude_windows(staged.magnitudes, WIDTH)
    at = {rank: np.full(len(staged), -1, np.int64) for rank in RANKS}
    with NeighborSearch(staged, windows, SearchPlan(k=K)) as search:
        for lists in search.lists(0, len(staged)):
            begins = np.cumsum(lists.lengths) - lists.lengths
            for rank, found in at.items():
                long = lists.lengths >= rank
                found[lists.rows[long]] = lists.positions[begins[long] + rank - 1]
    return at


def judge(rarity: npt.NDArray[np.float64], is_member: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Tell how well rarity finds a class among the galaxies that have one."""
    known = np.isfinite(rarity)
    scores, member = rarity[known], is_member[known]
    n, m = len(scores), int(member.sum())
    ranks = rankdata(scores)
    rarest = member[np.argsort(-scores, kind="stable")]
    return {
        "auc": (ranks[member].sum() - m * (m + 1) / 2) / max(m * (n - m), 1),
        "chance": m / n,
        "first": float(rarest[:FIRST_ROWS].mean()),
        "tenth": float(rarest[: n // 10].mean()),
    }


def rarity_report(staged: StagedVectors, classes: npt.NDArray[np.str_]) -> dict[str, Any]:
    """Judge the rarity by the distance at each rank, for each class."""
    names = classes[staged.galaxy_ids]
    report: dict[str, Any] = {}
    for rank, others in neighbors_at_ranks(staged).items():
        rows = np.flatnonzero(others >= 0)
        distances = np.full(len(staged), np.nan)
        distances[rows] = pair_distances(staged, rows, others[rows])
        rarity = relative_rarity(distances, staged.magnitudes)
        clean = np.where(names == ARTIFACT, np.nan, rarity)
        report[str(rank)] = {
            "no rarity": int(np.count_nonzero(~np.isfinite(rarity))),
            **{str(name): judge(rarity, names == name) for name in np.unique(names)},
            **{
                f"{name}, no artifacts": judge(clean, names == name)
                for name in np.unique(names[names != ARTIFACT])
            },
        }
    return report


def shifted(images: Images, pixels: int) -> Images:
    """Shift images (n, c, h, w) to the left; what was outside is empty."""
    moved = np.zeros_like(images)
    width = images.shape[-1]
    if pixels >= 0:
        moved[..., : width - pixels] = images[..., pixels:]
    else:
        moved[..., -pixels:] = images[..., :pixels]
    return moved


def dissimilarity(
    first: npt.NDArray[np.float16], second: npt.NDArray[np.float16]
) -> npt.NDArray[np.float64]:
    """Return 1 - cos of each pair of rows."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return 1 - np.vecdot(a, b) / norms


def shares(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Summarize shares of the mean dissimilarity."""
    quantiles = np.quantile(values, [0.05, 0.5, 0.95])
    return {
        **dict(zip(("5 %", "median", "95 %"), quantiles.tolist(), strict=True)),
        **{f"at most {limit}": float((values <= limit).mean()) for limit in LIMITS},
    }


def duplicates_report(
    encoder: TrainedEncoder, images: Images, kind: str, staged: StagedVectors
) -> dict[str, Any]:
    """Compare pairs of cutouts that are one source with pairs that are two.

    ``staged`` are the embeddings of all ``images``.
    """
    spread = mean_dissimilarity(staged)
    random = np.random.default_rng(0)
    # Neighbors in the magnitude order: galaxies that could be taken for each other.
    places = random.choice(len(staged) - 1, size=min(400, len(staged) - 1), replace=False)
    own, other = staged.galaxy_ids[places], staged.galaxy_ids[places + 1]
    centered = embed(encoder, images[own], kind)
    report: dict[str, Any] = {"mean 1 - cos": spread}
    for pixels in SHIFTS_PIX:
        moved = embed(encoder, shifted(images[own], pixels), kind)
        name = f"one galaxy, {pixels * PIXEL_SCALE_ARCSEC:.1f} arcsec off"
        report[name] = shares(dissimilarity(centered, moved) / spread)
    if kind == "flux":
        for pixels in APART_PIX:
            left = embed(encoder, images[own] + shifted(images[other], -pixels), kind)
            right = embed(encoder, images[other] + shifted(images[own], pixels), kind)
            name = f"two galaxies, {pixels * PIXEL_SCALE_ARCSEC:.1f} arcsec apart"
            report[name] = shares(dissimilarity(left, right) / spread)
    apart = embed(encoder, images[other], kind)
    report["two galaxies, far apart"] = shares(dissimilarity(centered, apart) / spread)
    return report


def pictures(archive: Path) -> npt.NDArray[np.uint8]:
    """Read the pictures of an archive, (n, 3, 152, 152)."""
    images = []
    with tarfile.open(archive) as tar:
        for member in sorted(tar, key=lambda entry: entry.name):
            opened = tar.extractfile(member) if member.name.endswith((".jpg", ".jpeg")) else None
            if opened is not None:
                images.append(decode_picture(opened.read(), name=member.name))
    return np.stack(images)


def report_of(encoder: TrainedEncoder, survey: Survey, archive: Path | None) -> dict[str, Any]:
    """Measure one encoder."""
    staged = stage(embed(encoder, survey.cutouts, "flux"), survey.mag_r)
    report = {
        "rarity": rarity_report(staged, survey.classes),
        "duplicates": duplicates_report(encoder, survey.cutouts, "flux", staged),
    }
    if archive is not None:
        real = pictures(archive)
        unordered = np.full(len(real), np.nan, np.float32)
        staged = stage(embed(encoder, real, "rgb"), unordered)
        report["duplicates, real pictures"] = duplicates_report(encoder, real, "rgb", staged)
    return report


def show(name: str, report: dict[str, Any]) -> None:
    """Print the measurements of an encoder as Markdown."""
    print(f"\n## {name}\n\nAUC; times chance among the {FIRST_ROWS} rarest; in the rarest tenth\n")
    rarity = report["rarity"]
    print("| class | " + " | ".join(f"rank {rank}" for rank in rarity) + " |")
    print("|---" * (1 + len(rarity)) + "|")
    for kind in next(iter(rarity.values())):
        if kind == "no rarity":
            print("| no rarity | " + " | ".join(f"{row[kind]}" for row in rarity.values()) + " |")
            continue
        cells = (
            f"{found['auc']:.3f}; {found['first'] / found['chance']:.1f};"
            f" {found['tenth'] / found['chance']:.1f}"
            for found in (row[kind] for row in rarity.values())
        )
        print(f"| {kind} | " + " | ".join(cells) + " |")
    for title, measured in report.items():
        if not title.startswith("duplicates"):
            continue
        print(f"\n{title}: (1 - cos) / mean; the mean is {measured['mean 1 - cos']:.4f}\n")
        rows = {label: row for label, row in measured.items() if isinstance(row, dict)}
        heads = next(iter(rows.values()))
        print("| pairs | " + " | ".join(heads) + " |")
        print("|---" * (1 + len(heads)) + "|")
        for label, row in rows.items():
            print(f"| {label} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |")


def main() -> None:
    """Measure both encoders and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--galaxies", type=int, default=3000)
    parser.add_argument("--encoder", type=Path, help="a trained encoder; default: train one")
    parser.add_argument("--pictures", type=Path, metavar="TAR", help="real pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    device = choose_device(options.device)
    survey = simulated(options.work, options.galaxies)
    if options.encoder is not None:
        encoder = load_encoder(options.encoder, device=device)
    else:
        encoder = trained(options.work, survey, device)
    print(f"{len(survey.classes):,} galaxies, d = {encoder.dimension}; rank {RANK}, alike {ALIKE}")
    reports = {}
    for name, measured in (("trained", encoder), ("untrained", untrained(encoder))):
        reports[name] = report_of(measured, survey, options.pictures)
        show(name, reports[name])
    if options.json is not None:
        options.json.write_text(json.dumps(reports, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
