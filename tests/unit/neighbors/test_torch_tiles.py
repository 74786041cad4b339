"""The torch engine: 16-bit screening, a bound that is certain, exact similarities of what is left.

That its lists equal those of a brute force on all kinds of input is tested in test_search.py.
"""

import logging

import numpy as np
import pytest
import torch

from neighbor_factory import (
    brute_force,
    random_magnitudes,
    search,
    stage_in_memory,
    unit_float16,
)
from skylike.errors import SettingsError
from skylike.neighbors.engine import search_plan, torch_batch, torch_kernels, torch_tiles
from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.torch_batch import Batch, cut_tiles_of
from skylike.neighbors.engine.torch_bounds import ErrorBound
from skylike.neighbors.engine.torch_kernels import (
    candidate_dots,
    center_rows,
    plain_candidate_dots,
    score_matrix,
    segment_maxima,
)
from skylike.neighbors.engine.torch_memory import MemoryPlan, columns_kept, plan_memory
from skylike.neighbors.engine.torch_rows import (
    ALIGNMENT,
    ResidentRows,
    bytes_of_row,
    choose_scale,
)
from skylike.neighbors.engine.torch_select import kth_largest, passing
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import magnitude_windows

D = 40
CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(autouse=True)
def skip_without_gpu(request: pytest.FixtureRequest):
    if request.node.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")


def latent_vectors(generator: np.random.Generator, n: int, *, common: float = 0.0) -> np.ndarray:
    """Embeddings of a few directions and noise, moved along a common direction."""
    mixing = generator.standard_normal((8, D)) * (1 + np.arange(8))[:, None] ** -0.7
    vectors = generator.standard_normal((n, 8)) @ mixing
    return unit_float16(vectors + 0.2 * generator.standard_normal((n, D)) + common)


def assert_equal_to_brute_force(staged: StagedVectors, *, width: float | None, **plan) -> None:
    found = search(staged, width=width, engine="torch", **plan)
    truth = brute_force(
        staged.galaxy_ids, staged.vectors, staged.magnitudes, k=plan["k"], width=width
    )
    assert found.keys() == truth.keys()
    for galaxy_id, (ids, similarities) in truth.items():
        assert found[galaxy_id][0].tolist() == ids.tolist(), galaxy_id
        assert np.abs(found[galaxy_id][1] - similarities).max(initial=0) < 1e-7


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("k", [1, 30, 700])
@pytest.mark.parametrize("common", [0.0, 8.0, 300.0])
def test_lists_equal_brute_force_while_windows_stream_through_a_small_memory(
    k: int, common: float, device: str
):
    generator = np.random.default_rng(21)
    staged = stage_in_memory(
        latent_vectors(generator, 1100, common=common),
        np.round(random_magnitudes(generator, 1100, missing=30), 2),
        generator.permutation(4000)[:1100],
    )
    staged.vectors.flags.writeable = False  # as a memory map is
    memory = {} if device == "cuda" else {"memory_bytes": 6 * ALIGNMENT * bytes_of_row(D)}

    assert_equal_to_brute_force(
        staged, width=0.5, k=k, device=device, tile_rows=90, score_bytes=4 * 90 * 128, **memory
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_rows", [4096, 256])
def test_lists_equal_brute_force_where_more_copies_tie_than_a_row_keeps(
    memory_rows: int, device: str, caplog: pytest.LogCaptureFixture
):
    generator = np.random.default_rng(22)
    vectors = latent_vectors(generator, 1500)
    copies = columns_kept(5) + 300
    vectors[100 : 100 + copies] = vectors[100]
    staged = stage_in_memory(
        vectors, random_magnitudes(generator, 1500), generator.permutation(1500) + 1
    )

    memory = {} if device == "cuda" else {"memory_bytes": memory_rows * bytes_of_row(D)}
    with caplog.at_level(logging.DEBUG, logger="skylike.neighbors.engine.torch_tiles"):
        assert_equal_to_brute_force(staged, width=None, k=5, device=device, **memory)

    assert f"have more than {columns_kept(5)} candidates" in caplog.text


def test_lists_of_scattered_rows_equal_those_of_all():
    generator = np.random.default_rng(23)
    staged = stage_in_memory(latent_vectors(generator, 800), random_magnitudes(generator, 800))
    windows = magnitude_windows(staged.magnitudes, 0.4)
    rows = np.sort(generator.choice(800, 60, replace=False))
    plan = SearchPlan(k=20, engine="torch", memory_bytes=400 * bytes_of_row(D), tile_rows=40)

    with NeighborSearch(staged, windows, plan) as neighbors:
        some = list(neighbors.lists_of(rows))
        none = list(neighbors.lists_of(rows[:0]))
    every = search(staged, width=0.4, k=20, engine="product")

    assert none == []
    assert np.concatenate([lists.rows for lists in some]).tolist() == rows.tolist()
    for lists in some:
        ends = np.cumsum(lists.lengths)
        for row, end, length in zip(lists.rows, ends, lists.lengths, strict=True):
            ids = staged.galaxy_ids[lists.positions[end - length : end]]
            assert ids.tolist() == every[int(staged.galaxy_ids[row])][0].tolist()


def test_screening_multiplies_16_bit_numbers_into_single_precision(
    monkeypatch: pytest.MonkeyPatch,
):
    seen = set()

    def watched(queries: torch.Tensor, block: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        seen.add((queries.dtype, block.dtype, out.dtype))
        return score_matrix(queries, block, out)

    monkeypatch.setattr(torch_batch, "score_matrix", watched)
    generator = np.random.default_rng(24)
    staged = stage_in_memory(latent_vectors(generator, 200), np.full(200, 18.0, np.float32))

    search(staged, width=0.5, k=10, engine="torch")

    assert seen == {(torch.float16, torch.float16, torch.float32)}


@pytest.mark.parametrize("common", [0.0, 8.0, 300.0])
def test_screening_scores_are_those_of_rows_rounded_to_16_bits(common: float):
    generator = np.random.default_rng(25)
    staged = stage_in_memory(
        latent_vectors(generator, 128, common=common), np.full(128, 18.0, np.float32)
    )
    resident = ResidentRows(staged, CPU, capacity=128)
    resident.load(0, 128)
    resident.wait()
    rows = resident.rows
    scores = score_matrix(rows.as_queries().screening, rows.screening, torch.empty(128, 128))

    exact = staged.vectors.astype(np.float64) / staged.norms[:, None]
    scaled = choose_scale(staged) * (exact - staged.center.astype(np.float32))
    rounded = rows.screening[:, :D].double().numpy()
    wide = rounded @ rounded.T - (rounded**2).sum(axis=1) / 2
    assert np.abs(rounded - scaled).max() < 2**-11 * np.abs(scaled).max() + 2**-20
    assert np.sqrt((scaled**2).mean()) == pytest.approx(1.0, rel=0.5)  # far from subnormal numbers
    assert np.abs(scores.numpy() - wide).max() < 2**-20 * np.abs(wide).max()
    off = np.linalg.norm(rounded - scaled, axis=1)
    assert np.abs(rows.errors.numpy() - off).max() < 2**-22 * choose_scale(staged)


@pytest.mark.parametrize("common", [0.0, 8.0, 300.0])
def test_cut_keeps_every_true_neighbor_and_little_else(common: float):
    generator = np.random.default_rng(26)
    n, k = 2048, 50
    staged = stage_in_memory(
        latent_vectors(generator, n, common=common), np.full(n, 18.0, np.float32)
    )
    resident = ResidentRows(staged, CPU, capacity=n)
    resident.load(0, n)
    resident.wait()
    convert, rows = resident.convert, resident.rows
    scores = score_matrix(rows.as_queries().screening, rows.screening, torch.empty(n, n))
    scores.fill_diagonal_(-torch.inf)
    exact = staged.vectors.astype(np.float64)
    cosines = torch.from_numpy(exact @ exact.T / (staged.norms[:, None] * staged.norms))
    cosines.fill_diagonal_(-torch.inf)

    bound = ErrorBound(convert.scale, convert.ratio, convert.floor, 256.0)
    kept = scores >= bound.cut(rows, kth_largest(scores, k))[:, None]
    true = torch.zeros_like(kept).scatter_(1, torch.topk(cosines, k, dim=1).indices, True)

    assert (kept | ~true).all()
    assert kept.sum(dim=1).double().mean() < 1.2 * k
    others = ~torch.eye(n, dtype=torch.bool)
    assert bool(bound.holds(rows, scores, cosines.clamp(min=-1), others))
    moved = scores + 0.1 * rows.squares[:, None]
    assert not bool(bound.holds(rows, moved, cosines.clamp(min=-1), others))


def test_a_refuted_error_bound_is_doubled_until_the_lists_are_right(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def coarse(queries: torch.Tensor, block: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        # An accumulation that is off by 2^-13 of |x| |y|, which is 2,048 roundoffs.
        score_matrix(queries, block, out)
        return out.add_(torch.sin(1e4 * out), alpha=2.0**-13 * D)

    monkeypatch.setattr(torch_batch, "score_matrix", coarse)
    generator = np.random.default_rng(27)
    # So many copies with a little noise that the coarse scores of neighbors are in no order.
    vectors = unit_float16(1 + 1e-3 * generator.standard_normal((300, D)))
    vectors = np.concatenate([vectors, latent_vectors(generator, 300)])
    staged = stage_in_memory(vectors, random_magnitudes(generator, 600))

    with caplog.at_level(logging.INFO, logger="skylike.neighbors.engine.torch_tiles"):
        assert_equal_to_brute_force(staged, width=0.5, k=40)

    assert "error bound of the scores doubled" in caplog.text


def test_scores_that_are_plainly_wrong_end_the_search(monkeypatch: pytest.MonkeyPatch):
    def wrong(queries: torch.Tensor, block: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return score_matrix(queries, block, out).mul_(0.5)

    monkeypatch.setattr(torch_batch, "score_matrix", wrong)
    generator = np.random.default_rng(28)
    staged = stage_in_memory(latent_vectors(generator, 100), np.full(100, 18.0, np.float32))

    with pytest.raises(FloatingPointError, match="rows 0 to 99 are wrong"):
        search(staged, width=0.5, k=10, engine="torch")


def test_each_vector_is_loaded_once_where_windows_fit_into_memory():
    generator = np.random.default_rng(29)
    staged = stage_in_memory(latent_vectors(generator, 2000), random_magnitudes(generator, 2000))
    windows = magnitude_windows(staged.magnitudes, 0.1)
    widest = int((windows.stop - windows.start).max())
    memory_bytes = (widest + 400) * bytes_of_row(D)
    assert memory_bytes < 0.6 * 2000 * bytes_of_row(D)
    plan = SearchPlan(k=5, engine="torch", tile_rows=50, memory_bytes=memory_bytes)

    with NeighborSearch(staged, windows, plan) as neighbors:
        rows = sum(len(lists.rows) for lists in neighbors.lists(0, 2000))
        loaded = neighbors._torch.resident.loaded_rows

    assert rows == 2000
    assert loaded == 2048  # filled up to a multiple of 64


def test_windows_wider_than_the_memory_are_swept_to_and_fro():
    generator = np.random.default_rng(30)
    staged = stage_in_memory(latent_vectors(generator, 1920), np.full(1920, 18.0, np.float32))
    windows = magnitude_windows(staged.magnitudes, 0.5)
    memory = MemoryPlan(1152, 64 * 192, 10**6, 64, 32, 1024)
    resident = ResidentRows(staged, CPU, capacity=1152)
    scores = torch.empty(memory.scores)

    loaded = []
    for first in (0, 480, 960):
        before = resident.loaded_rows
        rows = np.arange(first, first + 64)
        batch = Batch(
            rows, windows, resident, memory, k=9, columns=600, roundoffs=256.0, scores=scores
        )
        batch.run()
        assert (batch.kept.counts >= 9).all()
        loaded.append(resident.loaded_rows - before)

    assert loaded == [1920, 1920 - 1152, 1920 - 1152]


def test_resident_rows_are_the_same_wherever_the_interval_stands():
    generator = np.random.default_rng(31)
    staged = stage_in_memory(latent_vectors(generator, 1000), random_magnitudes(generator, 1000))
    whole = ResidentRows(staged, CPU, capacity=1024)
    whole.load(0, 1024)
    whole.wait()
    resident = ResidentRows(staged, CPU, capacity=320)

    for first, stop in [(0, 128), (128, 320), (320, 384), (192, 448), (64, 128), (960, 1024)]:
        resident.load(first, stop)
        resident.wait()
        for start, rows in resident.pieces(first, stop):
            same = whole.rows.take(slice(start, start + len(rows.squares)))
            assert torch.equal(rows.vectors, same.vectors)
            assert torch.equal(rows.screening, same.screening)
            assert torch.equal(rows.errors, same.errors)
        assert resident.stop - resident.first <= 320
        far = np.array([3, 200, 700, 999])
        assert torch.equal(resident.gather(far).screening, whole.rows.screening[far])
    assert (whole.rows.vectors[1000:] == 0).all()


def test_passing_finds_every_score_above_the_cut():
    generator = torch.Generator().manual_seed(32)
    scores = torch.randn(7, 256, generator=generator)
    scores[3] = -torch.inf
    cut = torch.tensor([0.5, -9.0, 9.0, -3e38, 1.5, 0.0, 2.5])

    for size in (1, 4, 16):
        row, column, value = passing(scores, segment_maxima(scores, size), cut)
        mask = torch.zeros_like(scores, dtype=torch.bool)
        mask[row, column] = True
        assert torch.equal(mask, scores >= cut[:, None])
        assert torch.equal(value, scores[row, column])
        assert bool((row.diff() >= 0).all())


def test_tiles_shrink_where_their_union_is_much_wider_than_their_windows():
    magnitudes = np.sort(np.concatenate([np.linspace(10, 18, 400), np.full(4000, 19.0)]))
    windows = magnitude_windows(magnitudes.astype(np.float32), 0.05)
    memory = MemoryPlan(10**6, 10**6, 10**6, 1000, 32, 64)

    sizes = [part.stop - part.start for part in cut_tiles_of(np.arange(4400), windows, memory)]

    assert sum(sizes) == 4400
    assert max(sizes) == 1000
    assert min(sizes[:4]) < 200


@pytest.mark.parametrize("device", DEVICES)
def test_candidate_dots_are_exact(device: str):
    generator = np.random.default_rng(33)
    vectors = unit_float16(generator.standard_normal((90, 300)))
    queries = unit_float16(generator.standard_normal((5, 300)))
    slots = generator.integers(-1, 90, (5, 37))
    slots[4] = -1
    exact = np.where(
        slots >= 0, np.einsum("qmd,qd->qm", vectors[slots].astype(float), queries.astype(float)), 0
    )

    on_device = [torch.as_tensor(array, device=device) for array in (vectors, queries, slots)]

    assert np.array_equal(candidate_dots(*on_device).cpu().numpy(), exact)
    assert np.array_equal(plain_candidate_dots(*on_device).cpu().numpy(), exact)


def test_triton_kernels_equal_torch_operations(monkeypatch: pytest.MonkeyPatch):
    if not torch.cuda.is_available():
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="Triton comes with torch's CUDA wheels")
    from skylike.neighbors.engine import triton_kernels

    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(34)
    vectors = torch.randn(50, 600, generator=generator).half().to(device)
    queries = torch.randn(3, 600, generator=generator).half().to(device)
    slots = torch.randint(-1, 50, (3, 21), generator=generator).to(device)
    scores = torch.randn(3, 1040, generator=generator).to(device)
    scores[1, :32] = -torch.inf

    factor, center = torch.rand(50, generator=generator), torch.randn(600, generator=generator)
    plain, fused = torch.zeros(2, 50, 608).half().to(device)

    dots = triton_kernels.candidate_dots(vectors, queries, slots)
    given = (vectors, factor.to(device), center.to(device))
    squares, errors = triton_kernels.center_rows(*given, fused)

    exact = vectors.double() * given[1][:, None] - given[2]
    assert (fused[:, :600] - exact).abs().max() < 2**-10 * exact.abs().max()
    assert not fused[:, 600:].any()
    monkeypatch.setattr(torch_kernels, "_triton_kernels", lambda _: None)
    for found, same in zip((squares, errors), center_rows(*given, plain), strict=True):
        assert torch.allclose(found, same, rtol=1e-3)
    assert torch.equal(dots, plain_candidate_dots(vectors, queries, slots))
    for size in (2, 16):
        assert torch.equal(
            triton_kernels.segment_maxima(scores, size), scores.view(3, -1, size).amax(dim=2)
        )


def test_auto_takes_torch_on_a_gpu_that_torch_sees_and_faiss_on_another(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(search_plan, "torch_sees", lambda device: device == "cuda:0")

    assert SearchPlan(k=5, device="cuda:0").chosen_engine == "torch"
    assert SearchPlan(k=5, device="cuda:1").chosen_engine == "faiss"
    assert SearchPlan(k=5).chosen_engine == "product"
    assert SearchPlan(k=5, device="cuda:0", engine="faiss").chosen_engine == "faiss"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch_tiles, "torch_sees", lambda _: False)
    staged = stage_in_memory(unit_float16(np.ones((3, D))), np.full(3, 18.0, np.float32))
    windows = magnitude_windows(staged.magnitudes, 0.5)

    with pytest.raises(SettingsError, match="torch does not see the device 'cuda:7'"):
        NeighborSearch(staged, windows, SearchPlan(k=1, device="cuda:7", engine="torch"))


def test_exhausted_memory_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch):
    def exhausted(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB")

    monkeypatch.setattr(torch_batch, "score_matrix", exhausted)
    staged = stage_in_memory(unit_float16(np.eye(30, D)), np.full(30, 18.0, np.float32))

    with pytest.raises(SettingsError, match=r"memory of cpu is exhausted.*smaller memory_bytes"):
        search(staged, width=0.5, k=3, engine="torch")


def test_memory_of_a_gpu_is_divided_within_what_is_free(monkeypatch: pytest.MonkeyPatch):
    free = 79 << 30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 80 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 3 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 3 << 30)
    gpu = torch.device("cuda")

    memory = plan_memory(gpu, SearchPlan(k=999, device="cuda"), galaxies=10**7, dimension=2048)

    used = memory.resident_rows * bytes_of_row(2048) + 4 * memory.scores + 16 * memory.candidates
    assert 0.6 * free < used < 0.8 * free
    assert memory.tile_rows == 16_384
    assert memory.block_columns(memory.tile_rows) >= 65_536
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (64 << 20, 80 << 30))
    with pytest.raises(SettingsError, match="too little to search neighbors"):
        plan_memory(gpu, SearchPlan(k=999, device="cuda"), galaxies=10**6, dimension=2048)
