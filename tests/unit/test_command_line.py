"""The command line answers at once, and every command and option explains itself."""

import subprocess
import sys
from typing import Any

import pytest
import typer

from skylike_cli.main import app

Command = Any
"""A command of the click that Typer carries inside."""

HEAVY = ("numpy", "sqlalchemy", "torch", "astropy", "faiss", "pandas", "pyarrow", "h5py", "galsim")


def commands(command: Command, path: str = "skylike") -> list[tuple[str, Command]]:
    found = [(path, command)]
    for name, child in getattr(command, "commands", {}).items():
        found += commands(child, f"{path} {name}")
    return found


ALL = commands(typer.main.get_command(app))


def test_commands_when_collected_then_are_those_of_the_contract():
    paths = {path for path, _ in ALL}

    assert {"skylike db", "skylike catalog", "skylike images", "skylike encoder"} <= paths


def test_command_line_when_imported_then_loads_nothing_heavy():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, skylike_cli.main; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_command_when_asked_for_help_then_has_it(path: str, command: Command):
    assert command.help, f"{path} has no help"


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_options_when_listed_then_each_has_help(path: str, command: Command):
    silent = [
        parameter.name
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.help
    ]

    assert not silent, f"{path}: options without help: {silent}"
