"""Two training steps of an objective; as a script, those of one process among several.

    torchrun --nproc-per-node 2 tests/objective_steps.py FOLDER

writes FOLDER/RANK.pt with what came of every case of :data:`CASES`.
"""

import sys
from pathlib import Path
from typing import Final

import torch

from skylike.embeddings.recipe import TrainRecipe, replace_fields
from skylike.embeddings.training import distributed
from skylike.embeddings.training.objectives import make_objective
from skylike.embeddings.training.optimizer import make_optimizer

TINY: Final = replace_fields(
    TrainRecipe(),
    {
        "name": "tiny",
        "architecture": "resnet18",
        "width": 0.125,
        "batch_size": 16,
        "queue": 48,
        "normalization_groups": 4,
        "projection_hidden": 16,
        "projection_dimension": 8,
        "prototypes": 24,
    },
)

CASES: Final = {
    "moco": {},
    "moco of the whole batch": {"normalization_groups": 1},
    "in_batch": {"objective": "in_batch", "normalization_groups": 1, "projection_normalized": True},
    "in_batch in groups": {"objective": "in_batch", "normalization_groups": 2, "decoupled": True},
    "dino": {"objective": "dino", "normalization_groups": 1},
}
"""What differs from :data:`TINY`."""

STEPS: Final = 2


def images(seed: int, views: int = 2) -> list[torch.Tensor]:
    """Views of one batch, float64."""
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(views, 16, 3, 32, 32, generator=generator, dtype=torch.float64))


def take_steps(changes: dict[str, object]) -> dict[str, object]:
    """Train this process's part of a few batches in float64; return all that can be compared."""
    recipe = replace_fields(TINY, changes)
    torch.manual_seed(0)
    objective = make_objective(recipe, torch.Generator().manual_seed(0)).double()
    optimizer = make_optimizer(objective.trained_parameters(), recipe)
    shared = distributed.share_gradients(objective, "cpu")
    seen: list[torch.Tensor] = []
    if hasattr(objective, "key_encoder"):
        objective.key_encoder.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    losses, keys = [], []
    for number in range(STEPS):
        # Only the first process's generator may decide: the others have seeds of their own.
        generator = torch.Generator().manual_seed(100 * distributed.rank() + number)
        objective.before_step(number / STEPS)
        parts = [distributed.part_of(view) for view in images(number)]
        step = shared(parts, generator)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        objective.after_step(step)
        values = torch.stack([step.loss.detach(), *(v.double() for v in step.figures.values())])
        losses.append(distributed.mean_over_processes(values))
        keys.append(step.carried.get("keys"))
    own_statistics = objective.query_encoder.bn1.running_mean.clone()
    distributed.join_running_statistics(objective.query_encoder)
    return {
        "losses and figures": torch.stack(losses),
        "gradients": {n: p.grad for n, p in objective.trained_parameters().items()},
        "state": objective.state_dict(),
        "own statistics": own_statistics,
        "seen by the key encoder": seen,
        "keys": [k for k in keys if k is not None],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.processes("cpu"):
        stopping = distributed.any_process([distributed.rank() == 1, False], "cpu")
        results = {name: take_steps(changes) for name, changes in CASES.items()}
        results["stopping"] = stopping
        torch.save(results, Path(sys.argv[1]) / f"{distributed.rank()}.pt")
