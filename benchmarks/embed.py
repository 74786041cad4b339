"""Embedding against the bare forward pass, all in one run: ready tensors, files, PostgreSQL.

    python benchmarks/embed.py [--recipe small|paper] [--device auto] [--precision float32|bf16]
        [--layer features|projection|both] [--galaxies 4096] [--rounds 3] [--server URL]

Synthetic cutouts in a file of our layout, random weights. Each round measures one after the other
    forward    the network on a batch that is ready, normalized, on the device
    cores      the same on processors with a batch for each core, as skylike embeds
    memory     files to rows in memory
    database   files to embeddings committed in PostgreSQL, with the sums for mean and axes
and the best round of each counts: what else runs on the machine only ever takes. Publication, the
one pass after the network, is timed apart. A scratch database is made on the server (an embedded
one is started where none is named) and dropped again. Prints JSON.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import h5py
import numpy as np
import sqlalchemy as sa
import torch
from sqlalchemy import Engine

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.database import server
from skylike.database.engine import make_engine
from skylike.database.migrate import upgrade
from skylike.devices import choose_device
from skylike.embeddings import store
from skylike.embeddings.checkpoint import file_sha256, load_encoder, save_encoder
from skylike.embeddings.embed_network import Batch, most_in_a_batch, run_network
from skylike.embeddings.embed_writer import EmbeddedCutouts
from skylike.embeddings.encoder import LAYERS, PRECISIONS, TrainedEncoder
from skylike.embeddings.extract import EmbedOptions, embed_layers
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import (
    BANDS,
    Preprocessing,
    normalize,
    preprocessing_of,
    to_colors,
    to_crops,
)
from skylike.embeddings.recipes import RECIPES
from skylike.embeddings.store import Layer
from skylike.embeddings.store_pending import PendingCutouts
from skylike.images.centers import CenterReader
from skylike.images.index import CutoutFile, CutoutIndex

ENCODER = "benchmark"


def write_cutouts(path: Path, n: int) -> CutoutIndex:
    """Write n cutouts of a blurred disk in noise, an image to a chunk, and return their index."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:CUTOUT_SIZE_PIX, :CUTOUT_SIZE_PIX] - (CUTOUT_SIZE_PIX - 1) / 2
    disk = np.exp(-np.hypot(x, y) / 6).astype(np.float32)
    shape = (3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX)
    noise = rng.normal(0, 0.005, (64, *shape)).astype(np.float32)
    with h5py.File(path, "w", rdcc_nbytes=0) as file:
        images = file.create_dataset("images", (n, *shape), np.float32, chunks=(1, *shape))
        for row in range(n):
            images[row] = disk * rng.uniform(0.2, 2) + np.roll(noise[row % 64], row, axis=2)
    ids = np.arange(n, dtype=np.int32)
    unknown = np.full((n, 4), np.nan, dtype=np.float32)
    file_one = CutoutFile(1, path, "flux", ("g", "r", "z"), CUTOUT_SIZE_PIX, 0.262)
    return CutoutIndex(
        ids + 1, ids + 1, np.ones_like(ids), ids, unknown[:, 0], unknown[:, 1:], {1: file_one}
    )


def write_encoder(recipe_name: str, path: Path) -> dict[str, object]:
    """Write an encoder with random weights; return its row for the database."""
    recipe = RECIPES[recipe_name]
    torch.manual_seed(0)
    network = build_network(recipe)
    preprocessing: Preprocessing = preprocessing_of(recipe)
    save_encoder(path, network, recipe, preprocessing, {})
    return {
        "name": ENCODER,
        "architecture": recipe.architecture,
        "width": recipe.width,
        "dimension": network.dimension,
        "input": recipe.input,
        "bands": list(BANDS),
        "pixel_scale": preprocessing.pixel_scale,
        "crop_pix": preprocessing.crop_pix,
        "preprocessing": dataclasses.asdict(preprocessing),
        "training": {},
        "checkpoint": str(path),
        "checkpoint_sha256": file_sha256(path),
        "is_active": False,
    }


@contextmanager
def scratch_database(url: str | None, folder: Path) -> Iterator[Engine]:
    """Make a migrated database on a server, and drop it at the end."""
    home = folder / "server"
    if url is None:
        folder.chmod(0o755)  # root runs the server as another user, who has to enter
        server.start(home)
    above = make_engine(server.superuser_url(home) if url is None else url)
    above = above.execution_options(isolation_level="AUTOCOMMIT")
    name = f"benchmark_embed_{uuid4().hex[:8]}"
    with above.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine = make_engine(above.url.set(database=name))
    try:
        upgrade(engine)
        yield engine
    finally:
        engine.dispose()
        with above.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        above.dispose()
        if url is None:
            server.stop(home)


def enter(engine: Engine, index: CutoutIndex, encoder: dict[str, object]) -> None:
    """Enter the galaxies, their cutouts and the encoder."""
    n, path = len(index), str(index.files[1].path)
    with engine.begin() as connection:
        for text in (
            "INSERT INTO survey (survey_id, name, description, bands)"
            " VALUES (1, 'benchmark', '', '{}')",
            "INSERT INTO galaxy (galaxy_id, survey_id, object_id, ra, dec, healpix29, mag_r,"
            " updated_at) SELECT i, 1, i, 0.01 * i, 1, i, 17, now() FROM generate_series(1, :n) i",
            "INSERT INTO image_file (file_id, path, origin, kind, bands, n_cutouts, size_pix,"
            " pixel_scale, added_at) OVERRIDING SYSTEM VALUE"
            " VALUES (1, :path, :path, 'flux', '{g,r,z}', :n, 152, 0.262, now())",
            "INSERT INTO cutout (cutout_id, file_id, file_row, galaxy_id, name, kind, coverage,"
            " missing_bands, is_complete, updated_at) OVERRIDING SYSTEM VALUE"
            " SELECT i, 1, i - 1, i, i::text, 'flux', '{1,1,1}', '{}', true, now()"
            " FROM generate_series(1, :n) i",
        ):
            connection.execute(sa.text(text), {"n": n, "path": path})
        store.insert_encoder(connection, encoder)


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def rate_of(n: int, device: str, call: Callable[[], object]) -> float:
    """Return images per second of a call that handles n of them."""
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return n / (time.perf_counter() - start)


class _Clock:
    """Progress that notes how long each task took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def task(self, description: str, **_options: object) -> Iterator["_Clock"]:
        start = time.perf_counter()
        yield self
        self.seconds[description] = time.perf_counter() - start

    def advance(self, _n: int = 1) -> None:
        """Nothing to show."""

    skip = note = advance


def measure_forward(
    index: CutoutIndex, encoder: TrainedEncoder, layers: list[Layer], size: int
) -> dict[str, float]:
    """Measure the network alone, on batches of the pixels in a file."""
    n, device = len(index), encoder.device
    kind = device.partition(":")[0]

    def ready(b: int) -> torch.Tensor:
        with CenterReader(encoder.window) as reader, torch.inference_mode():
            pixels = torch.from_numpy(reader.read(index, np.arange(b) % n)).to(device)
            crops = to_crops(pixels, "flux", encoder.preprocessing)
            colors = to_colors(crops, "flux", encoder.preprocessing)
            images = normalize(colors, encoder.preprocessing)
            return images.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(images: torch.Tensor) -> None:
        with torch.autocast(kind, torch.bfloat16, enabled=encoder.precision == "bf16"):
            pooled = encoder.network.pooled(images)
            encoder.network.features_of(images, pooled)
            if "projection" in layers:
                encoder.network.fc(pooled)

    rounds, images = -(-n // size), ready(size)
    found = {"forward": rate_of(rounds * size, device, lambda: repeat(run, images, rounds))}
    if device == "cpu":
        most, cores = most_in_a_batch(encoder, size), torch.get_num_threads()
        rounds, images = -(-n // most), ready(most)
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(run, [images] * cores))
            found["cores"] = rate_of(
                rounds * most, device, lambda: list(pool.map(run, [images] * rounds))
            )
        torch.set_num_threads(cores)
    return found


def repeat(run: Callable[[torch.Tensor], None], images: torch.Tensor, rounds: int) -> None:
    """Run a function again and again."""
    for _ in range(rounds):
        run(images)


def measure_memory(
    index: CutoutIndex, encoder: TrainedEncoder, layers: list[Layer], size: int
) -> float:
    """Measure files to rows in memory."""
    n = len(index)
    rows = [np.zeros((n, encoder.dimension_of(layer)), np.float16) for layer in layers]
    cutouts = PendingCutouts(index, np.ones((len(layers), n), np.bool_))
    embedded = EmbeddedCutouts([], cutouts, rows, np.zeros(n, np.bool_))
    parts = np.array_split(np.arange(n), -(-n // most_in_a_batch(encoder, size)))
    batches = (Batch(embedded, part, "flux", is_last=False) for part in parts)
    return rate_of(n, encoder.device, lambda: list(run_network(batches, encoder, layers)))


def measure(
    engine: Engine, index: CutoutIndex, encoder: TrainedEncoder, options: argparse.Namespace
) -> dict[str, float]:
    """Measure one round: images per second of each, and seconds of publication."""
    n, size = len(index), options.batch_size
    layers: list[Layer] = [*LAYERS] if options.layer == "both" else [options.layer]
    found = measure_forward(index, encoder, layers, size)
    found["memory"] = measure_memory(index, encoder, layers, size)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE cutout SET updated_at = clock_timestamp()"))
    clock = _Clock()
    start = time.perf_counter()
    embed_layers(
        engine,
        ENCODER,
        layer=options.layer,
        device=encoder.device,
        options=EmbedOptions(batch_size=size, precision=encoder.precision),
        progress=clock,  # type: ignore[arg-type] # of a benchmark
    )
    whole = time.perf_counter() - start
    embedding = clock.seconds["embedding"]
    return found | {"database": n / embedding, "publication_s": whole - embedding}


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="small", choices=sorted(RECIPES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--layer", default="features", choices=["features", "projection", "both"])
    parser.add_argument("--galaxies", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--server", help="URL of any database on the server to use")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        index = write_cutouts(folder / "cutouts.h5", options.galaxies)
        row = write_encoder(options.recipe, folder / "encoder.pt")
        engine = stack.enter_context(scratch_database(options.server, folder))
        enter(engine, index, row)
        encoder = load_encoder(folder / "encoder.pt", device=device, precision=options.precision)
        measure(engine, index, encoder, options)  # kernels are chosen, memory is taken
        rounds = [measure(engine, index, encoder, options) for _ in range(options.rounds)]
    rates = {
        name: max(found[name] for found in rounds) for name in rounds[0] if name != "publication_s"
    }
    report = {
        "recipe": options.recipe,
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
        "precision": options.precision,
        "layer": options.layer,
        "threads": options.threads,
        "galaxies": options.galaxies,
        "images_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "publication_s": round(min(found["publication_s"] for found in rounds), 2),
        "ratios_to_forward": {
            name: round(rate / rates["forward"], 3)
            for name, rate in rates.items()
            if name != "forward"
        },
        "database_to_forward_of_each_round": [
            round(found["database"] / found["forward"], 3) for found in rounds
        ],
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
