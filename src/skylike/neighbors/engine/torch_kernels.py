"""The four heavy operations of the torch engine, each on whatever device its tensors are on.

On a GPU three of them run as Triton kernels (Triton comes with torch's CUDA wheels); everywhere
else, and where Triton is missing, as plain torch operations with the same result.
"""

import logging
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import ModuleType

import torch

logger = logging.getLogger(__name__)


@cache
def _triton_kernels(kind: str) -> ModuleType | None:
    if kind != "cuda":
        return None
    if find_spec("triton") is None:
        logger.warning("Triton is not installed: exact similarities are computed ten times slower")
        return None
    from skylike.neighbors.engine import triton_kernels  # noqa: PLC0415 - Triton is there on GPU hosts only

    return triton_kernels


@cache
def _mixed_product(
    device: torch.device,
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """Choose how this torch multiplies 16-bit matrices into a single-precision result."""

    def mixed(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return torch.mm(a, b.T, out_dtype=torch.float32, out=out)

    def widened(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return torch.mm(a.float(), b.float().T, out=out)

    if device.type == "cpu":
        return widened
    try:
        tried = torch.ones(16, 16, dtype=torch.float16, device=device)
        mixed(tried, tried, torch.empty(16, 16, device=device))
    except (TypeError, NotImplementedError) as error:  # before torch 2.8
        logger.warning("torch %s multiplies in single precision: %s", torch.__version__, error)
        return widened
    return mixed


def score_matrix(queries: torch.Tensor, block: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Multiply 16-bit rows (q, p) with 16-bit rows (w, p) in single precision: (q, w), in ``out``.

    The result is never 16 bits wide: that loses a fifth of the neighbors where all cosines are
    near 0.99. Processors have no such product in torch; they widen the same 16-bit numbers first.
    """
    assert queries.dtype == block.dtype == torch.float16  # noqa: S101 - that is the point
    return _mixed_product(queries.device)(queries, block, out)


def center_rows(
    vectors: torch.Tensor, factor: torch.Tensor, center: torch.Tensor, out: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write z = factor x - center, rounded to 16 bits, into the first d columns of ``out``.

    Parameters
    ----------
    vectors
        (b, d) float16.
    factor, center
        (b,) and (d,) float32.
    out
        (b, p) float16.

    Returns
    -------
    tuple
        Squared lengths of the rounded rows, and what the rounding did to each: |rounded - z|,
        float32 (b,) both.
    """
    kernels = _triton_kernels(vectors.device.type)
    if kernels is not None:
        squares, errors = kernels.center_rows(vectors, factor, center, out)
        return squares, errors
    exact = vectors * factor[:, None]  # (b, d) float32
    exact -= center
    rounded = out[:, : vectors.shape[1]]
    rounded.copy_(exact)
    wide = rounded.float()
    return wide.square().sum(dim=1), torch.linalg.vector_norm(exact.sub_(wide), dim=1)


def segment_maxima(scores: torch.Tensor, size: int) -> torch.Tensor:
    """Return the maxima of ``size`` columns at a time: (q, w) -> (q, w / size)."""
    if size == 1:
        return scores
    kernels = _triton_kernels(scores.device.type)
    if kernels is not None:
        maxima: torch.Tensor = kernels.segment_maxima(scores, size)
        return maxima
    return scores.view(len(scores), -1, size).amax(dim=2)


def candidate_dots(
    vectors: torch.Tensor, queries: torch.Tensor, slots: torch.Tensor
) -> torch.Tensor:
    """Compute dot products of stored vectors in float64: (q, m), 0 where there is no candidate.

    Parameters
    ----------
    vectors
        (n, d) float16.
    queries
        (q, d) float16.
    slots
        (q, m) int64 rows of ``vectors``; -1 for none.
    """
    kernels = _triton_kernels(vectors.device.type)
    if kernels is not None:
        dots: torch.Tensor = kernels.candidate_dots(vectors, queries, slots)
        return dots
    return plain_candidate_dots(vectors, queries, slots)


def plain_candidate_dots(
    vectors: torch.Tensor, queries: torch.Tensor, slots: torch.Tensor
) -> torch.Tensor:
    """Compute :func:`candidate_dots` by torch operations, row after row."""
    dots = torch.zeros(slots.shape, dtype=torch.float64, device=slots.device)
    there = slots >= 0
    places = torch.split(slots[there], there.sum(dim=1).tolist())
    found = [
        vectors.index_select(0, own).double().mv(query.double())
        for query, own in zip(queries, places, strict=True)
    ]
    if found:
        dots[there] = torch.cat(found)
    return dots
