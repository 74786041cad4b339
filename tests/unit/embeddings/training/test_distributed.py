"""Two processes that torchrun starts, against one process with the whole batch."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import distributed as dist

import objective_steps
from skylike.embeddings.normalization import GroupedBatchNorm2d
from skylike.embeddings.training import distributed
from skylike.embeddings.training.objectives import make_objective
from skylike.errors import SettingsError

TOGETHER = {"rtol": 1e-9, "atol": 1e-11}
"""Sums over two processes round otherwise than one sum; this is float64."""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each of two processes got."""
    folder = tmp_path_factory.mktemp("ranks")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    where = ["--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    command = [*launcher, *where, objective_steps.__file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture
def group_of_one() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("case", objective_steps.CASES)
def test_two_processes_take_the_step_of_one_with_the_whole_batch(ranks: list[dict], case: str):
    alone = objective_steps.take_steps(objective_steps.CASES[case])

    for rank in ranks:
        torch.testing.assert_close(rank[case]["gradients"], alone["gradients"], **TOGETHER)
        found, expected = rank[case]["state"], alone["state"]
        # The key encoder's running statistics are not used; each process has its own.
        moved = {n for n in expected if not ("key_encoder" in n and "running" in n)}
        for name in sorted(moved):
            torch.testing.assert_close(found[name], expected[name], **TOGETHER, msg=name)
        got, wanted = rank[case]["losses and figures"], alone["losses and figures"]
        torch.testing.assert_close(got[:, 0], wanted[:, 0], **TOGETHER)  # loss
        torch.testing.assert_close(got[:, 3], wanted[:, 3], **TOGETHER)  # agreement


@pytest.mark.parametrize("case", objective_steps.CASES)
def test_weights_are_the_same_to_the_bit_in_both_processes(ranks: list[dict], case: str):
    first, second = (rank[case]["state"] for rank in ranks)

    for name in first:
        if "running" not in name:
            assert torch.equal(first[name], second[name]), name


def test_keys_are_shuffled_across_processes_and_put_back_in_order(ranks: list[dict]):
    batch = objective_steps.images(0)[1]
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    assert torch.any(order[::2] % 2 == 1), "the first process must get images of the second"

    for number, rank in enumerate(ranks):
        assert torch.equal(rank["moco"]["seen by the key encoder"][0], batch[order][number::2])
    both = [rank["moco"]["keys"][0] for rank in ranks]
    assert torch.equal(both[0], both[1])
    alone = objective_steps.take_steps({})
    torch.testing.assert_close(both[0], alone["keys"][0], **TOGETHER)


def test_the_queue_holds_the_whole_batch_in_both_processes(ranks: list[dict]):
    for rank in ranks:
        state, keys = rank["moco"]["state"], rank["moco"]["keys"]
        assert torch.equal(state["queue"][:16], keys[0])
        assert torch.equal(state["queue"][16:32], keys[1])
        assert int(state["pointer"]) == 32


def test_running_statistics_are_joined(ranks: list[dict]):
    own = [rank["moco"]["own statistics"] for rank in ranks]
    joined = ranks[0]["moco"]["state"]["query_encoder.bn1.running_mean"]

    assert not torch.equal(own[0], own[1])
    torch.testing.assert_close(joined, (own[0] + own[1]) / 2)


def test_a_flag_of_one_process_is_known_to_all(ranks: list[dict]):
    assert [rank["stopping"] for rank in ranks] == [(True, False)] * 2


@pytest.mark.usefixtures("group_of_one")
def test_a_group_of_one_process_takes_the_plain_step_to_the_bit():
    grouped = objective_steps.take_steps({})
    dist.destroy_process_group()
    plain = objective_steps.take_steps({})
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)

    torch.testing.assert_close(grouped["state"], plain["state"], rtol=0, atol=0)


def test_without_torchrun_nothing_is_started():
    with distributed.processes("cpu") as device:
        assert device == "cpu"
        assert not dist.is_initialized()
        assert (distributed.rank(), distributed.size()) == (0, 1)


def test_groups_that_the_processes_do_not_divide_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "size", lambda: 3)

    with pytest.raises(SettingsError, match="4 is not a multiple of the 3 processes"):
        make_objective(objective_steps.TINY, torch.Generator())


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    with pytest.raises(SettingsError, match="more processes than this host has GPUs"):
        distributed._own_gpu(1)


def test_statistics_of_all_rows_equal_torchs_batch_normalization():
    images = torch.randn(8, 6, 5, 5, generator=torch.Generator().manual_seed(0)).double() + 3.0
    ours, theirs = GroupedBatchNorm2d(6).double(), torch.nn.BatchNorm2d(6).double()
    ours.gather = distributed.gather_rows

    torch.testing.assert_close(ours(images), theirs(images))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
