"""Read ahead in a thread, so that the disk works while the network computes."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeAlias, TypeVar

T = TypeVar("T")

_Buffer: TypeAlias = queue.Queue[tuple[T] | BaseException | None]

_POLL_S = 0.2
"""How often a full buffer looks whether its reader has gone."""


def prefetch(items: Iterable[T], *, depth: int = 2) -> Generator[T, None, None]:
    """Yield the items of an iterable that a thread reads up to ``depth`` items ahead.

    An exception of the iterable is raised here, in its place. Closing the generator ends the thread
    and waits for it.
    """
    buffer: _Buffer[T] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    thread = threading.Thread(
        target=_read, args=(items, buffer, stop), daemon=True, name="skylike-prefetch"
    )
    thread.start()
    try:
        while (entry := buffer.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        stop.set()
        thread.join()


def _read(items: Iterable[T], buffer: _Buffer[T], stop: threading.Event) -> None:
    last: BaseException | None = None
    try:
        for item in items:
            if not _put((item,), buffer, stop):
                return
    except BaseException as error:  # noqa: BLE001 - raised again in the reader's own thread
        last = error
    _put(last, buffer, stop)


def _put(entry: tuple[T] | BaseException | None, buffer: _Buffer[T], stop: threading.Event) -> bool:
    """Wait for room; tell whether there still is a reader."""
    while not stop.is_set():
        try:
            buffer.put(entry, timeout=_POLL_S)
        except queue.Full:
            continue
        return True
    return False
