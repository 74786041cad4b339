"""Several processes on one batch: torchrun starts them, each has its rows, results are joined.

Process r of w has the rows r, r + w, r + 2 w, ... of the batch. Batch normalization groups a batch
in the same way (row i in group ``i % groups``), so that a step of w processes is that of one
process, up to rounding, wherever w divides the groups. In one process everything here is a no-op.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from typing_extensions import override

from skylike.embeddings.normalization import set_normalization_groups
from skylike.errors import SettingsError

logger = logging.getLogger(__name__)

PATIENCE: Final = timedelta(hours=2)
"""How long processes wait for each other: the first one alone converts pictures. (torchrun ends all
of them at once where one has died.)"""

T = TypeVar("T")


def rank() -> int:
    """Return which process this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Return how many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Tell the one process that writes files and shows progress."""
    return rank() == 0


@contextmanager
def processes(device: str) -> Iterator[str]:
    """Join the processes that torchrun has started, and leave them at the end.

    Within another such block, or without torchrun, it does nothing.

    Parameters
    ----------
    device
        ``cpu``, ``cuda`` or ``cuda:N``; of ``cuda`` each process on a host takes its own.

    Yields
    ------
    str
        The device of this process.

    Raises
    ------
    SettingsError
        There are more processes on this host than GPUs.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched() or dist.is_initialized():
        yield device
        return
    is_cuda = device.startswith("cuda")
    if is_cuda:
        device = _own_gpu(dist.get_node_local_rank(fallback_rank=0))
    dist.init_process_group(
        "nccl" if is_cuda else "gloo",
        timeout=PATIENCE,
        device_id=torch.device(device) if is_cuda else None,
    )
    logger.info("process %d of %d on %s", rank(), size(), device)
    try:
        yield device
    finally:
        dist.destroy_process_group()


def _own_gpu(number: int) -> str:
    found = torch.cuda.device_count()
    if number >= found:
        raise SettingsError(
            f"torchrun started more processes than this host has GPUs ({found}); "
            f"use --nproc-per-node {found}, or --device cpu"
        )
    torch.cuda.set_device(number)
    return f"cuda:{number}"


class _Gather(torch.autograd.Function):
    """Rows of all processes; backward, each process gets what all of them want of its rows."""

    @staticmethod
    @override
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(size())]
        dist.all_gather(parts, rows)
        return torch.stack(parts, dim=1).flatten(0, 1)  # (w * n, ...)

    @staticmethod
    @override
    def backward(ctx: Any, *wanted: torch.Tensor) -> torch.Tensor:
        total = wanted[0].contiguous()
        dist.all_reduce(total)
        return part_of(total)


@torch.compiler.disable  # type: ignore[untyped-decorator] # torch's
def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Join the rows (n, ...) of w processes to (w n, ...), in the order of the whole batch.

    Gradients pass: a process gets the sum of what all processes ask of its rows. With the mean over
    processes that :func:`share_gradients` takes, it is the gradient of the mean loss.
    """
    return _Gather.apply(rows) if size() > 1 else rows  # type: ignore[no-untyped-call] # torch's


def part_of(rows: torch.Tensor) -> torch.Tensor:
    """Return what this process has of the rows (w n, ...) of the whole batch: (n, ...)."""
    return rows[rank() :: size()]


def shared_order(n: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Draw a permutation (n,) on ``device`` that all processes agree on: the first one's."""
    order = torch.randperm(n, generator=generator, device=generator.device).to(device)
    if size() > 1:
        dist.broadcast(order, src=0)
    return order


def encode_shuffled(
    encode: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Encode the images (b, ...) of each process, shuffled over all of them and put back in order.

    The shuffled batch normalization of He et al. 2020 (section 3.3): an image shares its batch
    statistics with other images than its counterpart does.

    Returns
    -------
    torch.Tensor
        (w b, d): what becomes of the images of all processes, in the order of the whole batch.
    """
    with torch.no_grad():
        everything = gather_rows(images)  # (w b, ...)
    order = shared_order(len(everything), generator, images.device)
    encoded: torch.Tensor = gather_rows(encode(everything[part_of(order)]))  # (w b, d), shuffled
    return encoded[torch.argsort(order)]


def split_normalization(network: nn.Module, groups: int) -> None:
    """Divide the groups of batch normalization among the processes.

    Parameters
    ----------
    groups
        Of the whole batch; 1 takes statistics over all processes.

    Raises
    ------
    SettingsError
        The processes do not divide them evenly.
    """
    if groups == 1:
        set_normalization_groups(network, 1, gather=gather_rows if size() > 1 else None)
        return
    if groups % size():
        raise SettingsError(
            f"normalization_groups {groups} is not a multiple of the {size()} processes; "
            "start another number of them, or set normalization_groups in a recipe of your own"
        )
    set_normalization_groups(network, groups // size())


def share_gradients(objective: nn.Module, device: str) -> nn.Module:
    """Return a module to be called in an objective's place, which averages gradients (DDP).

    Each process keeps buffers of its own: the queue and the center are equal anyway, and running
    statistics are joined by :func:`join_running_statistics`.
    """
    if size() == 1:
        return objective
    with warnings.catch_warnings():
        # Newer versions of torch have another name for it, which older ones do not know.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(
            objective,
            device_ids=[torch.device(device).index] if device.startswith("cuda") else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )


def join_running_statistics(network: nn.Module) -> None:
    """Average the running statistics of batch normalization over the processes."""
    running = [
        b for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var"))
    ]
    if size() > 1 and running:
        joined = mean_over_processes(torch.cat(running))
        for buffer, value in zip(
            running, torch.split(joined, [len(b) for b in running]), strict=True
        ):
            buffer.copy_(value)


def mean_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of values (...) over the processes, the same in all of them."""
    values = values.detach().clone()
    if size() > 1:
        dist.all_reduce(values)
        values /= size()
    return values


def any_process(flags: Sequence[bool], device: str) -> tuple[bool, ...]:
    """Tell of each flag whether any process has raised it, so that all of them act alike."""
    raised = torch.tensor(flags, dtype=torch.int32, device=device)
    if size() > 1:
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return tuple(bool(flag) for flag in raised.tolist())


def said_by_first(value: T) -> T:
    """Return what the first process passes, in all processes; they wait for it here."""
    said = [value]
    if size() > 1:
        dist.broadcast_object_list(said, src=0)
    return said[0]
