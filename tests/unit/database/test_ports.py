import os
import socket
from collections.abc import Iterator

import pytest

from skylike.database import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_port_when_somebody_listens_then_is_not_free(taken: int):
    assert not ports.is_free(taken)


def test_port_when_chosen_then_is_free_and_not_for_outgoing_connections():
    port = ports.free_port()

    assert ports.is_free(port)
    assert 1024 < port < 32_768


def test_holder_when_it_is_ours_then_is_named_with_its_process(taken: int):
    assert f"process {os.getpid()}" in ports.holder(taken)


def test_holder_when_nobody_is_seen_then_is_another_program():
    assert ports.holder(ports.free_port()) == "another program"
