"""Embed every cutout that a database knows, galaxies or not, into one NPY file.

    python benchmarks/search/real_embeddings.py --encoder small --output real.npy

The sample that :mod:`data` draws from. The cutouts of the published runs are real galaxies:

    skylike images add galaxy_zoo1.tar decals_rings.tar && skylike encoder train --recipe small

Reads the database that ``skylike`` itself would use.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from build import open_engine
from sqlalchemy import Engine

from skylike.embeddings.checkpoint import load_encoder
from skylike.embeddings.store import fetch_encoder_to_embed
from skylike.images.read import iter_pixels
from skylike.images.store import fetch_cutout_index


def embed_cutouts(engine: Engine, encoder: str | None, *, device: str) -> npt.NDArray[np.float32]:
    """Return unit embeddings (n, d) of all cutouts; those that show nothing are left out."""
    with engine.begin() as connection:
        record = fetch_encoder_to_embed(connection, encoder)
        index = fetch_cutout_index(connection)
    network = load_encoder(record.network_file, device=device, sha256=record.checkpoint_sha256)
    rows = [
        network.embed(pixels, kind, invert_pictures=True)
        for kind in ("flux", "rgb")
        for _, pixels in iter_pixels(index, batch_size=256, kind=kind)
    ]
    embeddings = np.concatenate(rows)  # (n, d)
    return embeddings[embeddings.any(axis=1)]


def main() -> None:
    """Embed and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", help="default: the active or only one")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    embeddings = embed_cutouts(open_engine(), options.encoder, device=options.device)
    np.save(options.output, embeddings)
    n, d = embeddings.shape
    print(f"{n:,} embeddings of {d} dimensions in {options.output}")


if __name__ == "__main__":
    main()
