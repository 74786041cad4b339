#!/bin/bash
# Neighbor lists by a Slurm array: each task computes one contiguous part, the last one publishes.
#
#     sbatch --export=ALL,SKYLIKE_DATABASE_URL=postgresql://... docs/slurm/neighbors.sh
#
# A task that was killed or ran out of time goes on where it was: `sbatch --array=5 ...` for part 5,
# or `skylike neighbors build` anywhere for all that is left.

#SBATCH --job-name=skylike-neighbors
#SBATCH --array=1-8
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=neighbors-%A_%a.log
# With GPUs, one for each task:
##SBATCH --gpus-per-task=1

set -euo pipefail

# Of the whole array, also where only some of its tasks are submitted again. As in --array.
PARTS=8

# The staged embeddings (2 bytes for each entry: 173 GB for 42 million galaxies of 2,048) go to a
# file system that all nodes see and that has file locks between them: the database is read once.
# With a fast disk in each node, take $TMPDIR there; each node then reads the database.
WORK_FOLDER=${WORK_FOLDER:-${SCRATCH:?set it, or WORK_FOLDER, to a large folder}/skylike}

# As many threads as there are processors for the task, not as the node has.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

exec skylike neighbors build \
    --shard "$SLURM_ARRAY_TASK_ID/$PARTS" \
    --work-folder "$WORK_FOLDER" \
    --device auto \
    "$@"
