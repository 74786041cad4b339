"""The example of a Slurm array calls the command line as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from skylike_cli.main import app

SCRIPT = Path(__file__).parents[3] / "docs" / "slurm" / "neighbors.sh"


def run_task(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a task of the array with a ``skylike`` that only says what it was given."""
    command = folder / "skylike"
    command.write_text(f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:], sep='\\n')\n")
    command.chmod(0o755)
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, str(SCRIPT), *arguments],
        env={"PATH": f"{folder}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_task_of_the_array_computes_its_part_with_options_that_there_are(tmp_path: Path):
    task = run_task(tmp_path, "-k", "99", SLURM_ARRAY_TASK_ID="3", SCRATCH="/scratch/me")

    said = task.stdout.split("\n")
    assert said[:2] == ["neighbors", "build"]
    assert said[said.index("--shard") + 1] == "3/8"
    assert said[said.index("--work-folder") + 1] == "/scratch/me/skylike"
    neighbors = typer.main.get_command(app).commands["neighbors"]
    known = {option for p in neighbors.commands["build"].params for option in p.opts}
    assert {word for word in said if word.startswith("-")} <= known


def test_parts_of_the_array_are_as_many_as_its_tasks():
    text = SCRIPT.read_text(encoding="utf-8")

    assert "#SBATCH --array=1-8\n" in text
    assert "\nPARTS=8\n" in text


@pytest.mark.parametrize("missing", ["SLURM_ARRAY_TASK_ID", "SCRATCH"])
def test_task_without_what_it_needs_stops(tmp_path: Path, missing: str):
    given = {"SLURM_ARRAY_TASK_ID": "3", "SCRATCH": "/scratch/me"}
    del given[missing]

    task = run_task(tmp_path, **given)

    assert task.returncode != 0
    assert missing in task.stderr
    assert task.stdout == ""
