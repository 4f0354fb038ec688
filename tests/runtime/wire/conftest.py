"""The node ``here``, a client, and other processes beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wire_peer import Peer

from covend.runtime import ThreadSystem
from covend.runtime.wire import Node
from covend.runtime.wire_client import Client


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Peer]]:
    peers: list[Peer] = []

    def begin(node: str) -> Peer:
        peers.append(Peer(node, tmp_path))
        return peers[-1]

    yield begin
    for peer in peers:
        peer.close()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[ThreadSystem]:
    with ThreadSystem(node="here") as made:
        wire = Node(made, "here", tmp_path)
        yield made
    wire.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Node.client(tmp_path) as made:
        yield made
