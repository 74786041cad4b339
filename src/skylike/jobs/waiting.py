"""How a process waits for what another one holds."""

import logging
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

POLL_S: Final = 0.2
"""Time between two looks at a lock that another process holds. Not a wait inside PostgreSQL: that
would keep a transaction open, which vacuum has to spare, for as long as the other one works."""


def wait_until(is_so: Callable[[], bool], waiting_for: str) -> None:
    """Return when something is so; where it is not at once, log what is waited for."""
    if is_so():
        return
    logger.info("waiting for %s", waiting_for)
    while not is_so():
        time.sleep(POLL_S)
