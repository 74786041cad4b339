"""What a worker of a Dask cluster does for an embedding: some shards, with plain arguments.

The functions here run where the workers run; :mod:`skylike.embeddings.embed_cluster` sends them
there.
"""

import threading
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from skylike.database.engine import DatabaseUrl, make_engine
from skylike.embeddings import store
from skylike.embeddings.checkpoint import load_encoder
from skylike.embeddings.embed_job import EmbedOptions
from skylike.embeddings.embed_shards import ShardWork, embed_shards
from skylike.embeddings.encoder import Precision, TrainedEncoder
from skylike.embeddings.store_locks import join_work
from skylike.embeddings.store_pending import Sight
from skylike.images.store import fetch_files
from skylike.jobs.store_sessions import SharedSession, open_session
from skylike.progress import SILENT

_one_network = threading.Lock()
"""A network uses all processors, or the GPU: a worker with several threads does one part after the
other."""


def embed_part(
    url: DatabaseUrl,
    names: tuple[str, ...],
    as_of: datetime,
    shards: dict[int, int],
    options: EmbedOptions,
    device: str,
) -> int:
    """Embed some shards, on a worker; return how many cutouts were not done already.

    Parameters
    ----------
    url
        Of the database, with its password, which it does not show in logs.
    names
        Encoders to fill, of one network.
    as_of
        When the job began.
    shards
        Number of each shard, and of its pending cutouts.
    device
        ``auto`` takes what the worker has.
    """
    engine = make_engine(url, application="skylike embed worker")
    try:
        with _one_network, open_session(engine) as session:
            with session.begin():
                records = tuple(store.fetch_encoder(session, name) for name in names)
                files = fetch_files(session)
            encoder = _encoder(
                records[0].network_file, records[0].checkpoint_sha256, device, options.precision
            )
            with_pictures = records[0].input == "rgb" or options.invert_pictures
            work = ShardWork(Sight(records, as_of, with_pictures=with_pictures), files, options)
            with join_work(session, records), SILENT.task("embedding") as task:
                return embed_shards(SharedSession(session), work, encoder, shards, task=task)
    finally:
        engine.dispose()


@lru_cache(maxsize=1)
def _encoder(path: Path, sha256: str | None, device: str, precision: Precision) -> TrainedEncoder:
    return load_encoder(path, device=device, sha256=sha256, precision=precision)
