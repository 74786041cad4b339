"""Shards on a Dask cluster: workers write lists straight into the database and return counts.

Needs ``dask.distributed`` here and where the workers run, the same skylike in both, and a database
that the workers reach under the address that this process uses.
"""

from collections.abc import Sequence

from distributed import Future
from sqlalchemy import Connection

from skylike.jobs.dask_client import connected, cut_for_workers, in_sentences, wait_a_while
from skylike.jobs.shares import Cluster
from skylike.neighbors import store, store_lists
from skylike.neighbors.begin import StagedInput
from skylike.neighbors.cluster_worker import remove_staged, search_part
from skylike.neighbors.job import BuildJob
from skylike.neighbors.shards import plan_shards
from skylike.neighbors.store import NeighborRun
from skylike.progress import Task


def search_on_cluster(
    job: BuildJob, session: Connection, run: NeighborRun, given: StagedInput, cluster: Cluster
) -> int:
    """Let the workers of a cluster compute all shards that are not done.

    Each worker opens the staged embeddings in the work folder where it sees them, and stages them
    there for all workers of its machine where it does not (or in its own scratch folder where it
    may not write there). The tasks of a worker that is killed go to another one.

    Returns
    -------
    int
        Shards that the workers computed.

    Raises
    ------
    SettingsError
        The address is not one, or the scheduler file is not there.
    ClusterError
        The scheduler does not answer, or the same tasks have killed several workers.
    """
    cut = plan_shards(run, given.vectors)
    done = store_lists.fetch_finished_shards(session, run.run_id)
    session.rollback()
    left = [shard for shard in range(len(cut)) if shard not in done]
    if not left:
        return 0
    url = job.engine.url  # Dask logs the arguments of what fails: in words this hides the password
    with connected(cluster) as client, in_sentences("computed neighbors"):
        futures = [
            client.submit(
                search_part, url, run.run_id, part, job.plan, str(job.folder.absolute()), pure=False
            )
            for part in cut_for_workers(client, left)
        ]
        with job.progress.task("Searching neighbors", total=cut.count_rows(left)) as task:
            computed = _collect(futures, session, run, task)
        client.run(remove_staged, on_error="ignore")
    return computed


def _collect(
    futures: Sequence[Future[int]], session: Connection, run: NeighborRun, task: Task
) -> int:
    """Wait for all tasks; tell how far they are by what the database holds."""
    told, pending = run.galaxies_done, set(futures)
    computed = 0
    while pending:
        finished, pending = wait_a_while(pending)
        computed += sum(int(future.result()) for future in finished)
        with session.begin():
            stored = store.fetch_run(session, run.run_id).galaxies_done
        task.advance(stored - told)
        told = stored
    return computed
