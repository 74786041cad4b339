"""What torch has no fast operation for, as Triton kernels: imported on GPU hosts only.

The kernels run on a processor too, slowly, under ``TRITON_INTERPRET=1``: that is how they are
tested where there is no GPU.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
import triton
import triton.language as tl

_CANDIDATES: Final = 16
"""Candidates of one row that a program computes: the row is read once for all of them."""

_ENTRIES: Final = 256
"""Entries of the vectors in one step: 512 bytes, contiguous, of each candidate."""

_SEGMENTS: Final = 512
"""Segments that a program reduces: 32 kB at 16 columns."""


def _segment_maxima(
    scores: "Any",  # noqa: ANN401 - pointers; Triton would look a bare name up on the GPU
    maxima: "Any",  # noqa: ANN401
    n: "Any",  # noqa: ANN401
    size: tl.constexpr,
    segments: tl.constexpr,
) -> None:
    segment = tl.program_id(0).to(tl.int64) * segments + tl.arange(0, segments)  # (s,)
    inside = segment < n
    place = segment[:, None] * size + tl.arange(0, size)[None, :]  # (s, size)
    values = tl.load(scores + place, mask=inside[:, None], other=float("-inf"))
    tl.store(maxima + segment, tl.max(values, axis=1), mask=inside)


def _candidate_dots(
    vectors: "Any",  # noqa: ANN401
    queries: "Any",  # noqa: ANN401
    slots: "Any",  # noqa: ANN401
    dots: "Any",  # noqa: ANN401
    m: "Any",  # noqa: ANN401
    dimension: tl.constexpr,
    candidates: tl.constexpr,
    entries: tl.constexpr,
) -> None:
    # Programs start row after row: those that run at the same time compute candidates of about the
    # same rank by place, and find each other's vectors in the cache.
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * candidates + tl.arange(0, candidates)  # (c,)
    slot = tl.load(slots + row * m + column, mask=column < m, other=-1)
    there = slot >= 0
    if tl.max(slot, axis=0) >= 0:
        # One sum for each place in the step, added up at the end: threads need not meet before.
        total = tl.zeros((candidates, entries), dtype=tl.float64)
        for first in range(0, dimension, entries):
            entry = first + tl.arange(0, entries)  # (e,)
            used = entry < dimension
            own = tl.load(queries + row * dimension + entry, mask=used, other=0.0)
            place = tl.where(there, slot, 0)[:, None] * dimension + entry[None, :]  # (c, e)
            theirs = tl.load(vectors + place, mask=there[:, None] & used[None, :], other=0.0)
            total += theirs.to(tl.float64) * own.to(tl.float64)[None, :]
        tl.store(dots + row * m + column, tl.sum(total, axis=1), mask=there)


def _center_rows(
    vectors: "Any",  # noqa: ANN401
    factor: "Any",  # noqa: ANN401
    center: "Any",  # noqa: ANN401
    out: "Any",  # noqa: ANN401
    sums: "Any",  # noqa: ANN401
    stride: tl.constexpr,
    dimension: tl.constexpr,
    entries: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    entry = tl.arange(0, entries)  # (e,)
    used = entry < dimension
    own = tl.load(vectors + row * dimension + entry, mask=used, other=0.0).to(tl.float32)
    middle = tl.load(center + entry, mask=used, other=0.0)
    exact = own * tl.load(factor + row) - middle
    rounded = exact.to(tl.float16)
    tl.store(out + row * stride + entry, rounded, mask=used)
    wide = rounded.to(tl.float32)
    off = exact - wide
    tl.store(sums + 2 * row, tl.sum(wide * wide, axis=0))
    tl.store(sums + 2 * row + 1, tl.sum(off * off, axis=0))


_center_rows_kernel: Any = triton.jit(_center_rows)
_segment_maxima_kernel: Any = triton.jit(_segment_maxima)
_candidate_dots_kernel: Any = triton.jit(_candidate_dots)


def _current(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """Launch on the tensor's GPU, which need not be the first one."""
    if tensor.device.type == "cpu":
        return nullcontext()
    return torch.cuda.device(tensor.device)


def center_rows(
    vectors: torch.Tensor, factor: torch.Tensor, center: torch.Tensor, out: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute :func:`~skylike.neighbors.engine.torch_kernels.center_rows`, reading each row once.

    Rows of ``vectors`` lie one after the other, those of ``out`` in equal steps.
    """
    n, dimension = vectors.shape
    sums = factor.new_empty(n, 2)
    with _current(vectors):
        _center_rows_kernel[(n,)](
            vectors,
            factor,
            center,
            out,
            sums,
            stride=out.stride(0),
            dimension=dimension,
            entries=triton.next_power_of_2(dimension),
        )
    return sums[:, 0], sums[:, 1].sqrt()


def segment_maxima(scores: torch.Tensor, size: int) -> torch.Tensor:
    """Compute :func:`~skylike.neighbors.engine.torch_kernels.segment_maxima`; ``size`` is 2^n."""
    rows, columns = scores.shape
    maxima = scores.new_empty(rows, columns // size)
    n = maxima.numel()
    with _current(scores):
        _segment_maxima_kernel[(triton.cdiv(n, _SEGMENTS),)](
            scores, maxima, n, size=size, segments=_SEGMENTS
        )
    return maxima


def candidate_dots(
    vectors: torch.Tensor, queries: torch.Tensor, slots: torch.Tensor
) -> torch.Tensor:
    """Compute :func:`skylike.neighbors.engine.torch_kernels.candidate_dots`.

    Reads 2 d bytes for each candidate. Fastest where the candidates of a row come in the order of
    their places; see the comment in the kernel.
    """
    rows, m = slots.shape
    dots = torch.zeros(rows, m, dtype=torch.float64, device=slots.device)
    if not dots.numel():
        return dots
    with _current(dots):
        _candidate_dots_kernel[(rows, triton.cdiv(m, _CANDIDATES))](
            vectors.contiguous(),
            queries.contiguous(),
            slots.contiguous(),
            dots,
            m,
            dimension=vectors.shape[1],
            candidates=_CANDIDATES,
            entries=_ENTRIES,
        )
    return dots
