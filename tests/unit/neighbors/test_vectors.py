"""Exact widening of float16, and blocks that slide."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from neighbor_factory import random_magnitudes, stage_in_memory, unit_float16
from skylike.neighbors.engine.vectors import BlockReader, Widener


def test_widener_gives_every_finite_float16_exactly():
    bits = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = bits[np.isfinite(bits)].reshape(-1, 8)

    wide = Widener(len(finite), 8)(finite)

    assert np.array_equal(wide, finite.astype(np.float64))
    assert np.array_equal(np.signbit(wide), np.signbit(finite))


def test_block_reader_reads_the_same_wherever_its_buffer_stands():
    generator = np.random.default_rng(1)
    staged = stage_in_memory(
        unit_float16(generator.standard_normal((500, 16))), random_magnitudes(generator, 500)
    )
    exact = staged.vectors.astype(np.float64) / staged.norms[:, None] - staged.center

    with ThreadPoolExecutor(2) as pool:
        reader = BlockReader(staged, memory_bytes=4 * 16 * 100, pool=pool)
        for start in [0, 10, 30, 140, 90, 400, 401, 0]:
            block = reader.read(start, start + 90)
            assert np.array_equal(block.rows, exact[start : start + 90].astype(np.float32))
            copied = reader.copy(start + 50, min(start + 130, 500))
            assert np.array_equal(copied.rows, exact[start + 50 : start + 130].astype(np.float32))

    assert np.allclose(reader.half_squares[:90], (exact[:90] ** 2).sum(axis=1) / 2, rtol=1e-6)
