"""What comes over the wire from strangers harms nobody (S13)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from wire_peer import SECONDS, Echo, Heard, Say

from covend.runtime import (
    ThreadSystem,
)
from covend.runtime.frames import (
    MAX_BODY,
    FrameError,
    Header,
    from_parts,
    pack_error,
    to_parts,
    unpack_error,
)
from covend.runtime.frames import Frame as WireFrame
from covend.runtime.wire_client import Client


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[zmq.Socket[bytes]]:
    """A raw socket to the node ``here``."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
        dealer.connect(f"ipc://{tmp_path}/wire/here.sock")
        yield dealer


def refusal(stranger: zmq.Socket[bytes]) -> str:
    frame = from_parts(stranger.recv_multipart())
    assert frame.header.kind == "error"
    return str(unpack_error(frame.body))


def ask_header(**changes: Any) -> Header:
    values: dict[str, Any] = {
        "kind": "ask",
        "to": "echo@here",
        "sender": "x@evil",
        "key": 7,
        "deadline": time.monotonic() + SECONDS,
        **changes,
    }
    return Header(**values)


def test_garbage_is_answered_with_a_clear_error_and_harms_nobody(
    system: ThreadSystem, stranger: zmq.Socket[bytes]
) -> None:
    """S13: wrong version, wrong mark, wrong parts, wrong header, wrong body, wrong node."""
    echo = system.spawn(Echo, name="echo")
    good = to_parts(WireFrame(ask_header(), b"\xc0"))
    cases: list[tuple[list[bytes], str]] = [
        ([b"cvd\x63", *good[1:]], "version 99 is not spoken here"),
        ([b"HTTP/1.1", *good[1:]], "mark"),
        ([b"", b"", b""], "mark"),
        (good[:2], "3 parts, not 2"),
        ([*good, b"more"], "3 parts, not 4"),
        ([good[0], b"\xff\x00\x13", b""], "header"),
        ([good[0], b"x" * 5000, b""], "5000 bytes"),
        (to_parts(WireFrame(ask_header(), b"\xc1\xff")), "body does not decode"),
        (to_parts(WireFrame(ask_header(tag="no.such"), b"\xc0")), "no.such"),
        (to_parts(WireFrame(ask_header(tag="test.say"), b"\xc0")), "test.say"),
        (to_parts(WireFrame(ask_header(to="echo@there"), b"\xc0")), "this is node here"),
        (to_parts(WireFrame(ask_header(to=""), b"\xc0")), "this is node here"),
        (to_parts(WireFrame(ask_header(kind="reply"), b"\xc0")), "only answers"),
    ]
    for parts, expected in cases:
        stranger.send_multipart(parts)
        assert expected in refusal(stranger)
    nested = b"\x91" * 100_000 + b"\xc0"
    stranger.send_multipart(to_parts(WireFrame(ask_header(), nested)))
    assert "body does not decode" in refusal(stranger)
    stranger.send_multipart(good)
    assert from_parts(stranger.recv_multipart()).header.kind == "reply"
    assert echo.ask(Say("alive"), SECONDS) == "alive"


def test_oversize_messages_and_noise_are_cut_off_and_the_node_lives(
    system: ThreadSystem, stranger: zmq.Socket[bytes], tmp_path: Path
) -> None:
    """S13: MAXMSGSIZE; bytes that are not even ZeroMQ's."""
    echo = system.spawn(Echo, name="echo")
    stranger.send_multipart([b"cvd\x01", b"", b"z" * (MAX_BODY + 10_000)])
    with socket.socket(socket.AF_UNIX) as noise:
        noise.settimeout(SECONDS)
        noise.connect(f"{tmp_path}/wire/here.sock")
        noise.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(4096))
    with zmq.Context() as context, context.socket(zmq.DEALER) as second:
        second.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
        second.connect(f"ipc://{tmp_path}/wire/here.sock")
        second.send_multipart(to_parts(WireFrame(ask_header(), b"\xc0")))
        assert from_parts(second.recv_multipart()).header.kind == "reply"
    assert echo.ask(Heard(), SECONDS)[1] == []


def test_asks_to_a_peer_of_another_version_fail_and_say_so(client: Client, tmp_path: Path) -> None:
    """S13: a peer that cannot read our frames refuses them; nobody waits for his deadline."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
        router.bind(f"ipc://{tmp_path}/wire/old.sock")
        answer = client.ask_later("echo@old", [1], 3600.0)
        route = router.recv_multipart()[0]
        error = pack_error(FrameError("wire version 1 is not spoken here, only 2"))
        router.send_multipart([route, *to_parts(WireFrame(Header("error", "", "old"), error))])
        assert answer.wait(SECONDS)
        with pytest.raises(FrameError, match="version 1"):
            answer.get()
