"""Messages sent outside of the core, whatever the servers do that take them (P18, S16)."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from tests.actors.mailmen import offender, webhook

from covend.actors.people import channels
from covend.actors.people.channels import Message, Messengers
from covend.testing import eventually


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bad():
    with offender() as bad:
        yield bad


@pytest.fixture
def messengers():
    """Those that are made through it are closed at the end."""
    made = []

    def make(through=channels.send):
        made.append(Messengers(through))
        return made[-1]

    yield make
    for one in made:
        one.close()


def until(condition, what):
    return eventually(condition, 30, what)


def send(*addresses):
    return channels.send([Message(address, "A question for you", "Why?") for address in addresses])


def test_what_was_sent_is_taken_and_an_address_that_is_none_is_not():
    """P18: each is told of on its own."""
    with webhook() as hook:
        assert send("nonsense", hook.address, "tgram://") == [False, True, False]
        assert hook.took == [("A question for you", "Why?")]


def test_a_webhook_that_never_stops_answering_fills_no_memory(bad, monkeypatch):
    """P18: it fails at its own limit, and the message beside it is taken."""
    monkeypatch.setattr(channels, "BYTES", 64 * 2**20)
    assert send(bad.address("endless"), bad.address("fine")) == [False, True]
    assert bad.written < 5 * 64 * 2**20


def test_webhooks_that_drip_hold_up_the_others_no_longer_than_their_time(
    bad, messengers, monkeypatch
):
    """P18: as many as there are threads, each of them within the time limit of a single read."""
    monkeypatch.setattr(channels, "SECONDS", 1)
    monkeypatch.setattr(channels, "TOGETHER", 1)
    told = {}
    sending = messengers()
    for number in range(channels.THREADS):
        sending.send(
            bad.address("dripping"), "t", "x", lambda took, n=number: told.update({n: took})
        )
    until(lambda: bad.asked.count("dripping") == channels.THREADS, "all of them drip")
    sending.send(bad.address("fine"), "t", "x", lambda took: told.update(fine=took))
    until(lambda: len(told) == channels.THREADS + 1, "all have ended")
    assert told.pop("fine") is True
    assert set(told.values()) == {False}


def test_a_message_that_is_sent_on_to_elsewhere_was_not_taken(bad):
    """P18: the page to log in to answers 200 to everybody."""
    assert send(bad.address("moved")) == [False]
    assert bad.asked == ["moved"]


def test_the_address_of_a_channel_is_in_no_list_of_processes(bad, messengers):
    """P18: it is a secret."""
    address = bad.address("dripping").replace("//", "//hunter2@")
    ended = threading.Event()
    messengers().send(address, "t", "x", lambda took: ended.set())
    until(lambda: bad.asked, "it is being sent")
    seen = 0
    for child in psutil.Process().children(recursive=True):
        told = b"".join(Path(f"/proc/{child.pid}/{name}").read_bytes() for name in
                        ("cmdline", "environ"))  # fmt: skip
        seen += channels.sender.__name__.encode() in told
        assert b"hunter2" not in told
    assert seen
    bad.ended.set()
    until(ended.is_set, "it has ended")


def test_nothing_goes_on_sending_once_the_core_is_killed(bad):
    """S16: not the process, and not what it forked."""
    code = "import sys; from covend.actors.people import channels as c; " \
           "c.send([c.Message(sys.argv[1], 't', 'x')])"  # fmt: skip
    core = subprocess.Popen([sys.executable, "-c", code, bad.address("dripping")])
    try:
        until(lambda: bad.asked, "it is being sent")
        sending = psutil.Process(core.pid).children(recursive=True)
    finally:
        os.kill(core.pid, signal.SIGKILL)
        core.wait()
    assert len(sending) >= 2
    until(lambda: not any(map(psutil.pid_exists, (one.pid for one in sending))), "all are gone")


def test_what_is_due_while_others_are_sent_is_sent_together(messengers):
    """P18: a process takes half a second to start."""
    sent, told, go_on = [], [], threading.Event()

    def through(messages):
        sent.append([one.text for one in messages])
        go_on.wait(10)
        return [True] * len(messages)

    sending = messengers(through)
    for number in range(channels.THREADS):
        sending.send("json://h", "t", f"first {number}", told.append)
        until(lambda number=number: len(sent) == number + 1, "each has a thread")
    texts = [str(number) for number in range(channels.TOGETHER)]
    for text in texts:
        sending.send("json://h", "t", text, told.append)
    go_on.set()
    until(lambda: len(told) == channels.THREADS + channels.TOGETHER, "all are sent")
    assert sent[channels.THREADS :] == [texts]


def test_messages_that_could_not_be_sent_at_all_have_failed(messengers):
    """P18: so that they are tried again."""
    told = []

    def broken(messages):
        raise OSError("no more processes")

    sending = messengers(broken)
    for text in "ab":
        sending.send("json://h", "t", text, told.append)
    until(lambda: told == [False, False], "both have failed")


def test_a_messenger_goes_on_where_nobody_hears_what_became_of_a_message(messengers):
    """P18: the actor that asked may be gone."""
    sent = []

    def gone(took):
        raise RuntimeError("nobody is there")

    sending = messengers(lambda messages: [bool(sent.append(one)) or True for one in messages])
    for number in range(4 * channels.THREADS * channels.TOGETHER):
        assert sending.send("json://h", "title", str(number), gone)
    until(lambda: len(sent) == 4 * channels.THREADS * channels.TOGETHER, "every message is sent")
