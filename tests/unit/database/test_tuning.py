from pathlib import Path

import pytest

from skylike.database.tuning import Machine, _memory_limits, measure_machine, server_settings

GB = 1024**3


def megabytes(text: str) -> int:
    assert text.endswith("MB")
    return int(text.removesuffix("MB"))


@pytest.mark.parametrize(("memory_gb", "buffers_mb"), [(8, 2048), (24, 6144), (512, 8192)])
def test_shared_buffers_when_memory_grows_then_are_a_quarter_up_to_8_gb(memory_gb, buffers_mb):
    settings = server_settings(Machine(memory_gb * GB, 16, 64 * GB))

    assert megabytes(settings["shared_buffers"]) == buffers_mb


@pytest.mark.parametrize("memory_gb", [0.5, 1, 4, 64])
def test_settings_when_few_sessions_are_busy_then_fit_the_memory(memory_gb):
    settings = server_settings(Machine(int(memory_gb * GB), 4, GB))

    busy = megabytes(settings["shared_buffers"]) + 8 * megabytes(settings["work_mem"])
    assert busy + megabytes(settings["maintenance_work_mem"]) <= memory_gb * 1024 * 0.6


def test_settings_when_made_for_any_machine_then_have_no_jit_and_cheap_random_pages():
    settings = server_settings(Machine(16 * GB, 1, GB))

    assert settings["jit"] == "off"
    assert settings["random_page_cost"] == "1.1"
    assert settings["max_parallel_workers_per_gather"] == "1"


def test_shared_memory_when_too_small_for_a_parallel_index_then_files_serve():
    small = server_settings(Machine(16 * GB, 4, 64 * 1024**2))
    large = server_settings(Machine(16 * GB, 4, 8 * GB))

    assert small["dynamic_shared_memory_type"] == "'mmap'"
    assert "dynamic_shared_memory_type" not in large


def test_memory_limits_when_in_nested_control_groups_then_are_all_found(tmp_path: Path):
    group = tmp_path / "slurm" / "job"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (tmp_path / "slurm" / "memory.max").write_text(f"{4 * GB}\n")
    old = tmp_path / "memory" / "docker"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text(f"{2 * GB}\n")
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/docker\n3:cpu,cpuacct:/elsewhere\n0::/slurm/job\n")

    assert sorted(_memory_limits(tmp_path, membership)) == [2 * GB, 4 * GB]


def test_memory_limits_when_there_are_no_control_groups_then_are_none(tmp_path: Path):
    assert list(_memory_limits(tmp_path, tmp_path / "missing")) == []


def test_machine_when_measured_then_has_memory_and_cores():
    machine = measure_machine()

    assert machine.memory > 100_000_000
    assert machine.cores >= 1
    assert machine.shared_memory > 0
