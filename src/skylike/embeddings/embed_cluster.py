"""Embedding on a Dask cluster: workers read, embed and write to the database, and return counts.

Needs ``dask.distributed`` here and where the workers run, the same skylike in both, and the
database, the encoder's file and the files of cutouts under the addresses and paths that they have
here.
"""

from collections.abc import Mapping, Sequence

from distributed import Future
from sqlalchemy import Connection, Engine

from skylike.embeddings import store_staging
from skylike.embeddings.embed_shards import ShardWork
from skylike.embeddings.embed_worker import embed_part
from skylike.jobs.dask_client import connected, cut_for_workers, in_sentences, wait_a_while
from skylike.jobs.shares import Cluster
from skylike.progress import Task


def embed_on_cluster(
    engine: Engine,
    session: Connection,
    work: ShardWork,
    pending: Mapping[int, int],
    cluster: Cluster,
    *,
    device: str,
    task: Task,
) -> int:
    """Let the workers of a cluster embed the pending cutouts; the tasks of one that dies go on.

    Parameters
    ----------
    session
        Within ``join_work``.
    pending
        Cutouts of each shard.
    device
        Of the workers: ``auto`` takes what each has.

    Returns
    -------
    int
        Cutouts that the workers embedded.

    Raises
    ------
    SettingsError
        The address is not one, or the scheduler file is not there.
    ClusterError
        The scheduler does not answer, or the same tasks have killed several workers.
    """
    if not pending:
        return 0
    names = tuple(record.name for record in work.sight.records)
    url = engine.url  # Dask logs the arguments of what fails: in words this hides the password
    with connected(cluster) as client, in_sentences("embedded galaxies"):
        futures = [
            client.submit(
                embed_part,
                url,
                names,
                work.sight.as_of,
                {shard: pending[shard] for shard in part},
                work.options,
                device,
                pure=False,
            )
            for part in cut_for_workers(client, list(pending))
        ]
        return _collect(futures, session, work, task)


def _collect(
    futures: Sequence[Future[int]], session: Connection, work: ShardWork, task: Task
) -> int:
    """Wait for all tasks; tell how far they are by what the database holds."""
    record = work.sight.records[-1]
    embedded, left = 0, set(futures)
    with session.begin():
        told = store_staging.count_in_shards(session, record)
    while left:
        finished, left = wait_a_while(left)
        embedded += sum(int(future.result()) for future in finished)
        with session.begin():
            staged = store_staging.count_in_shards(session, record)
        task.advance(max(0, staged - told))
        told = max(told, staged)
    return embedded
