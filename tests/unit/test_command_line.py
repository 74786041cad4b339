"""The command line answers at once, and every command and option explains itself."""

import os
import signal
import subprocess
import sys
from pathlib import Path
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


BROKEN = """
import time
from skylike_cli import main

@main.app.command()
def broken(how: str) -> None:
    if how == "wait":
        print("waiting", flush=True)
        time.sleep(60)
    if how == "defect":
        raise KeyError(how)
    raise OSError(28, "No space left on device", "a.h5")

main.run()
"""
"""The program with a command that fails as no command should."""


def run_broken(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BROKEN, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("defect", "Error: KeyError: "),
        ("disk", "Error: OSError: [Errno 28] No space left on device: 'a.h5'; run it again"),
    ],
)
def test_command_when_it_fails_unforeseen_then_says_so_in_one_line(how: str, told: str):
    ended = run_broken("broken", how)

    assert ended.returncode == 1
    assert ended.stderr.startswith(told)
    assert ended.stderr.count("\n") == 1


def test_command_when_it_fails_and_is_verbose_then_shows_where():
    ended = run_broken("--verbose", "broken", "defect")

    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_command_when_interrupted_then_says_how_to_go_on(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", BROKEN, "broken", "wait"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a shell runs in the background inherit from it that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=30)

    assert process.returncode == 130
    assert told == "Interrupted; run the same command again to go on.\n"


def test_help_when_it_has_brackets_then_none_are_taken_for_markup():
    import typer.main
    from rich.text import Text

    from skylike_cli.main import app

    pending, seen = [typer.main.get_command(app)], 0
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        for said in [command.help, *(getattr(p, "help", None) for p in command.params)]:
            shown = Text.from_markup(said or "").plain
            assert shown == (said or "").replace("\\[", "[")
            seen += 1
    assert seen > 100


def test_rate_when_units_were_skipped_then_counts_only_what_this_run_did(capsys, monkeypatch):
    from skylike_cli import session

    monkeypatch.setattr(session.time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(session, "LOG_INTERVAL_S", float("inf"))
    task = session._LogTask("training", 1000, "images")
    monkeypatch.setattr(session.time, "monotonic", lambda: 110.0)

    task.skip(700)
    task.advance(20)
    task.tell()

    assert "720 of 1,000 images, 2/s" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["pandas", "astropy", "h5py", "torch"])
def test_search_modules_when_imported_then_bring_nothing_that_takes_long(module: str):
    code = f"""
import sys, pyarrow as pa
import skylike.search.search, skylike.interfaces.terminal
from skylike.search.arrow_arrays import arrow_array
pa.table({{'a': arrow_array([1, None], pa.int32())}}).to_pylist()
print({module!r} in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "False"
