"""Ctrl-C and SIGTERM end a training run between two steps."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

ECHO_S: Final = 5.0
"""Signals so soon after the first are the same one: a terminal sends Ctrl-C to all processes of
torchrun, and torchrun passes it on to them."""


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Note Ctrl-C and SIGTERM instead of dying in the middle of a step; later ones end at once.

    Outside of the main thread, where signals cannot be caught, the event is never set.
    """
    stop = threading.Event()
    noted_at = 0.0
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal noted_at
        if not stop.is_set():
            noted_at = time.monotonic()
            stop.set()
        elif time.monotonic() - noted_at > ECHO_S:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
