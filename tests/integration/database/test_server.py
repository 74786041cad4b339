"""The embedded server survives what happens to servers. Each test has a server of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from embedded_server import FAST
from skylike.database import account, cluster, ports, server
from skylike.database.binaries import ProgramError
from skylike.database.credentials import credentials_path
from skylike.errors import DatabaseUnavailableError, DatabaseVersionError, SettingsError

KEPT = {**FAST, "synchronous_commit": "on"}
"""Commits reach the system before they are confirmed: a kill that leaves the machine loses none."""


def owner(home: Path) -> str:
    return server.owner_url(home, given=None).replace("+psycopg", "")


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def remember(home: Path) -> None:
    with psycopg.connect(owner(home)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS keepsake AS SELECT 42 AS answer")


def remembers(home: Path) -> bool:
    return ask(owner(home), "SELECT answer FROM keepsake") == 42


def kill_everything(home: Path) -> int:
    """kill -9 the whole server, as a crash of the machine would; return the number it had."""
    running = server.running(home)
    assert running is not None
    postmaster = psutil.Process(running.pid)
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
    return running.pid


@contextmanager
def listener(port: int = 0) -> Iterator[int]:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield taken.getsockname()[1]


def test_server_when_started_first_then_is_local_protected_and_tuned(empty_home: Path):
    started = server.start(empty_home, overrides={"fsync": "off"})

    assert started.is_new
    assert not started.was_running
    administrator = server.superuser_url(empty_home).set(drivername="postgresql")
    with psycopg.connect(administrator.render_as_string(hide_password=False)) as connection:
        show = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]
            for name in ("listen_addresses", "unix_socket_directories", "jit", "server_encoding")
        }
    assert show == {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "jit": "off",
        "server_encoding": "UTF8",
    }
    assert (empty_home / "postgres").stat().st_mode & 0o777 == 0o700
    assert credentials_path(empty_home).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in empty_home.iterdir() if "part" in path.name) == []


@pytest.mark.parametrize("role", ["postgres", "skylike", "skylike_service", "skylike_reader"])
def test_login_when_the_password_is_missing_or_wrong_then_is_refused(own_home: Path, role: str):
    port = server.role_url(own_home, role, given=None).port

    for login in (role, f"{role}:guess"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://{login}@127.0.0.1:{port}/skylike")


def test_start_when_it_runs_already_then_changes_nothing(own_home: Path):
    before = server.running(own_home)

    again = server.start(own_home)

    assert again.was_running
    assert server.running(own_home) == before
    with pytest.raises(SettingsError, match=r"runs already, on port \d+; run `skylike db stop`"):
        server.start(own_home, port=ports.free_port())


def test_server_when_stopped_and_started_then_keeps_port_passwords_and_data(home: Path):
    server.start(home, overrides=FAST)
    remember(home)
    url = owner(home)

    assert server.stop(home)
    assert not server.stop(home)
    with pytest.raises(DatabaseUnavailableError, match=r"is not running; run `skylike db start`"):
        server.owner_url(home, given=None)
    server.start(home, overrides=FAST)

    assert owner(home) == url
    assert remembers(home)


def test_server_when_its_starter_is_killed_then_lives_on(home: Path):
    code = (
        "import pathlib, sys, time; from skylike.database import server;"
        "server.start(pathlib.Path(sys.argv[1]), overrides={'fsync': 'off'});"
        "print('started', flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, start_new_session=True
    )
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"started\n"
        os.killpg(starter.pid, signal.SIGKILL)
    time.sleep(0.2)

    assert ask(owner(home), "SELECT 1") == 1


def test_server_when_all_of_it_was_killed_then_recovers_its_data(home: Path):
    server.start(home, overrides=KEPT)
    remember(home)

    kill_everything(home)

    assert server.running(home) is None
    assert not server.start(home, overrides=KEPT).is_new
    assert remembers(home)


def test_server_when_its_number_was_given_to_another_process_then_starts(home: Path):
    server.start(home, overrides=KEPT)
    remember(home)
    kill_everything(home)
    # A process of the server's own user: PostgreSQL alone would take it for a living server.
    user = account.server_account(home / "postgres")
    pid_file = home / "postgres" / "postmaster.pid"
    with subprocess.Popen(
        ["/bin/sleep", "60"],
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    ) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *pid_file.read_text().splitlines()[1:]]))

        assert server.running(home) is None
        server.start(home, overrides=KEPT)

        assert remembers(home)
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.slow
def test_server_when_only_its_postmaster_was_killed_then_busy_backends_are_ended_first(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster, "_ORPHAN_SECONDS", 1.0)
    server.start(home, overrides=KEPT)
    remember(home)
    with contextlib.closing(psycopg.connect(owner(home))) as connection:
        # It looks at nothing but its own loop, so it does not notice that its server is gone.
        pid = connection.info.backend_pid
        connection.pgconn.send_query(
            b"DO $$ BEGIN FOR i IN 1..2000000000 LOOP NULL; END LOOP; END $$"
        )
        running = server.running(home)
        assert running is not None
        postmaster = psutil.Process(running.pid)
        postmaster.kill()
        postmaster.wait(timeout=10)

        server.start(home, overrides=KEPT)

    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert remembers(home)


def test_kept_port_when_taken_by_another_program_then_another_is_found_and_said(home: Path):
    first = server.start(home, overrides=FAST)
    server.stop(home)

    with listener(first.port):
        second = server.start(home, overrides=FAST)

    assert second.abandoned_port == first.port
    assert second.port != first.port
    assert ask(owner(home), "SELECT 1") == 1
    server.stop(home)
    assert server.start(home, overrides=FAST).port == second.port


def test_given_port_when_taken_then_is_refused_with_its_holder_and_nothing_runs(home: Path):
    with listener() as port, pytest.raises(SettingsError) as error_info:
        server.start(home, port=port, overrides=FAST)

    assert f"port {port} is taken by another program" in str(error_info.value)
    assert f"process {os.getpid()}" in str(error_info.value)
    assert server.running(home) is None
    free = ports.free_port()
    assert server.start(home, port=free, overrides=FAST).port == free


def test_start_when_two_come_at_once_then_one_starts_and_both_succeed(empty_home: Path):
    code = (
        "import pathlib, sys; from skylike.database import server;"
        "print(server.start(pathlib.Path(sys.argv[1]), overrides={'fsync': 'off'}).was_running)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(empty_home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [starter.communicate(timeout=60) for starter in both]

    assert sorted(out.strip() for out, _ in said) == [b"False", b"True"], said


def test_data_folder_when_its_making_was_killed_then_is_made_again(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_arguments: object, **_options: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "run_program", killed)
        patch.setattr(cluster.shutil, "rmtree", lambda *_a, **_o: None)
        with pytest.raises(KeyboardInterrupt):
            server.start(empty_home)
    (half_made,) = empty_home.glob("postgres.part-*")
    (half_made / "PG_VERSION").write_text("18\n")
    assert not (empty_home / "postgres").exists()

    assert server.start(empty_home, overrides=FAST).is_new
    assert not list(empty_home.glob("postgres.part-*"))


def test_data_folder_when_it_holds_something_else_then_is_left_alone(empty_home: Path):
    (empty_home / "postgres").mkdir()
    (empty_home / "postgres" / "thesis.txt").write_text("mine")

    with pytest.raises(SettingsError, match=r"postgres is not a PostgreSQL data folder"):
        server.start(empty_home)

    assert (empty_home / "postgres" / "thesis.txt").read_text() == "mine"


def test_data_folder_when_of_another_major_version_then_is_refused(empty_home: Path):
    (empty_home / "postgres").mkdir()
    (empty_home / "postgres" / "PG_VERSION").write_text("15\n")

    with pytest.raises(DatabaseVersionError, match=r"made by PostgreSQL 15 and this is .*18"):
        server.start(empty_home)


def test_passwords_when_their_file_is_lost_then_a_restart_makes_new_ones(home: Path):
    server.start(home, overrides=FAST)
    remember(home)
    old = owner(home)
    credentials_path(home).unlink()
    with pytest.raises(SettingsError, match="passwords are missing"):
        server.owner_url(home, given=None)
    server.stop(home)

    server.start(home, overrides=FAST)

    assert owner(home) != old
    assert remembers(home)


def test_settings_when_wrong_then_the_log_is_quoted(home: Path):
    with pytest.raises(
        DatabaseUnavailableError, match=r"did not start: .*; its log is .*server\.log"
    ):
        server.start(home, overrides={"shared_buffers": "12 parsecs"})


def test_initdb_when_it_fails_then_its_reason_is_told(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_arguments: object, **_options: object) -> str:
        raise ProgramError("initdb: error: no space left on device")

    monkeypatch.setattr(cluster, "run_program", fail)

    with pytest.raises(DatabaseUnavailableError, match=r"initdb in .* failed: .*no space left"):
        server.start(empty_home)


def test_database_when_recreated_then_is_empty_and_others_remain(home: Path):
    server.start(home, overrides=FAST)
    remember(home)
    administrator = server.superuser_url(home).set(drivername="postgresql")
    text = administrator.render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as connection:
        connection.execute("CREATE DATABASE somebody_elses")

    with psycopg.connect(owner(home)):
        server.recreate_database(home)

    assert ask(owner(home), "SELECT to_regclass('keepsake') IS NULL") is True
    assert ask(text, "SELECT count(*) FROM pg_database WHERE datname = 'somebody_elses'") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a server as another user")
def test_server_when_started_by_root_then_runs_as_its_own_user(own_home: Path):
    running = server.running(own_home)
    assert running is not None

    process = psutil.Process(running.pid)

    assert process.username() != "root"
    assert 0 not in process.uids()
    assert 0 not in process.gids()
    assert (own_home / "postgres").owner() == process.username()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a server as another user")
def test_home_when_the_servers_user_cannot_enter_then_is_refused_and_not_opened(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    # pytest's own folder above it is closed already; whichever comes first is named.
    with pytest.raises(SettingsError, match=r"cannot enter /.*; set SKYLIKE_HOME to a folder that"):
        server.start(closed / "home")

    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a server as another user")
def test_programs_when_the_servers_user_cannot_reach_them_then_are_copied(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    from skylike.database import binaries

    monkeypatch.setattr(binaries, "can_enter", lambda *_: False)

    server.start(home, overrides=FAST)

    running = server.running(home)
    assert running is not None
    (copied,) = home.glob("postgresql-*")
    assert Path(psutil.Process(running.pid).exe()).is_relative_to(copied)
    server.stop(home)
    shutil.rmtree(copied)
