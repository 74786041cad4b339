"""A person's machine: a data folder, the installed command, and a survey of 240 galaxies."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded_server import make_reachable_folder, remove_server

SKYLIKE = Path(sys.executable).with_name("skylike")

DEMO_GALAXIES = 240
"""Enough that every class of the demo's questions occurs."""


@dataclass(frozen=True)
class Machine:
    """A data folder of its own and a folder to work in.

    Attributes
    ----------
    home
        ``SKYLIKE_HOME``.
    folder
        Where commands run.
    demo_output
        What ``skylike demo`` printed, or nothing where it was not run.
    """

    home: Path
    folder: Path
    demo_output: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a shell with the virtual environment activated."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("SKYLIKE_")
        }
        from skylike.database.binaries import wheel_programs

        paths = (str(SKYLIKE.parent), str(wheel_programs()), kept["PATH"])
        return kept | {
            "SKYLIKE_HOME": str(self.home),
            "PATH": os.pathsep.join(paths),
            "COLUMNS": "160",
            "OMP_NUM_THREADS": "2",
        }

    def run(self, *arguments: str, exit_status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ``skylike ARGUMENTS`` and check its exit status."""
        done = subprocess.run(
            [str(SKYLIKE), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        assert done.returncode == exit_status, done.stdout + done.stderr
        return done

    def sql(self, statement: str) -> list[list[str]]:
        """Run a statement in psql as the reader; give the rows as text."""
        url = self.run("db", "url", "--format", "psql", "--reader").stdout.strip()
        out = subprocess.run(
            ["psql", url, "--no-psqlrc", "--tuples-only", "--no-align", "--command", statement],
            check=True,
            capture_output=True,
            text=True,
            env=self.environment,
        ).stdout
        return [line.split("|") for line in out.splitlines() if line]


def _machine(tmp_path_factory: pytest.TempPathFactory, name: str) -> Machine:
    home = make_reachable_folder("skylike-test-home-")
    return Machine(home=home, folder=tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """An empty database on a new machine; each file of tests has its own."""
    made = _machine(tmp_path_factory, "work")
    made.run("db", "start")
    yield made
    remove_server(made.home)


@pytest.fixture(scope="session")
def demo_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the demo has been run, smaller."""
    made = _machine(tmp_path_factory, "demo")
    output = made.run("demo", "--galaxies", str(DEMO_GALAXIES), "--output", "demo-output").stdout
    yield Machine(home=made.home, folder=made.folder, demo_output=output)
    remove_server(made.home)
