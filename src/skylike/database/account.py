"""The system user that the embedded server runs as: PostgreSQL refuses to run as root."""

import logging
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skylike.errors import SettingsError

logger = logging.getLogger(__name__)

SYSTEM_USER: Final = "skylike"
"""Created where root starts a server for the first time."""


@dataclass(frozen=True)
class Account:
    """A user of this machine, who is not us."""

    name: str
    uid: int
    gid: int


def server_account(data: Path) -> Account | None:
    """Return the user who must run the server of a data folder, or None for ourselves.

    Only root runs a server as somebody else: as the owner of the data folder where there is one,
    else as the system user ``skylike``, created when missing.

    Raises
    ------
    SettingsError
        The data folder belongs to another user, or the system user cannot be created.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise SettingsError(
                f"{data} belongs to another user (number {owner}); "
                "set SKYLIKE_HOME to a folder of your own"
            )
        return None
    if owner:
        return _account(pwd.getpwuid(owner))
    try:
        return _account(pwd.getpwnam(SYSTEM_USER))
    except KeyError:
        return _create_system_user()


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create_system_user() -> Account:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    way_out = (
        f"PostgreSQL cannot run as root: create a system user named {SYSTEM_USER}, "
        "or run skylike as an ordinary user"
    )
    if program is None:
        raise SettingsError(f"no program useradd to create the server's user with; {way_out}")
    shell = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    made = subprocess.run(  # noqa: S603 - a fixed command
        [program, *options, "--shell", shell, SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        account = _account(pwd.getpwnam(SYSTEM_USER))
    except KeyError:
        raise SettingsError(f"useradd failed ({made.stderr.strip()}); {way_out}") from None
    logger.info("created the system user %s (%d)", account.name, account.uid)
    return account


def can_enter(account: Account, folder: Path) -> bool:
    """Tell whether a user may enter and read a folder (asked of the system: ACLs count)."""
    return _test(account, "-x", folder) and _test(account, "-r", folder)


def check_reachable(account: Account, folder: Path) -> None:
    """Check that a user may pass through a folder and everything above it.

    Raises
    ------
    SettingsError
        Something on the way is closed; the message names it.
    """
    for part in [*reversed(folder.parents), folder]:
        if not _test(account, "-x", part):
            raise SettingsError(
                f"the server's user {account.name} cannot enter {part}, so it cannot keep a "
                f"database in {folder}; set SKYLIKE_HOME to a folder that others can enter, "
                "such as /var/lib/skylike"
            )


def _test(account: Account, flag: str, path: Path) -> bool:
    finished = subprocess.run(  # noqa: S603 - a fixed command
        ["/bin/sh", "-c", f'test {flag} "$1"', "sh", str(path)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return finished.returncode == 0
