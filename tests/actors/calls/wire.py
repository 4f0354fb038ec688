"""A server of one's own making, byte by byte: it says what it is told to, and hears all."""

import json
import socket
import threading
from contextlib import contextmanager


class Wire:
    """Says its ``answers`` in their order, the last of them for ever; ``heads`` is what it heard.

    An answer is bytes as they go over the wire. The connection stays open after one, until it is
    said that ``once`` is enough. ``connections`` is how many there were.
    """

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self.answers, self.heads, self.open, self.threads = [], [], [], []
        self.once = False
        self.connections = 0

    def listen(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return  # it is over
            self.connections += 1
            self.open.append(connection)
            self.begin(self.talk, connection)

    def begin(self, what, *args):
        self.threads.append(threading.Thread(target=what, args=args))
        self.threads[-1].start()

    def talk(self, connection):
        try:
            with connection.makefile("rb") as read:
                while head := heard(read):
                    self.heads.append(head)
                    answers = self.answers
                    connection.sendall(answers.pop(0) if len(answers) > 1 else answers[0])
                    if self.once:
                        break
                if self.once:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # who asked has gone

    def close(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already
        for thread in self.threads:
            thread.join()
        for connection in (*self.open, self.listening):
            connection.close()


def heard(read):
    """The head of a request, as a dict with ``line``; its body is skipped. None at the end."""
    line = read.readline().decode().strip()
    if not line:
        return None
    head = {"line": line}
    while field := read.readline().decode().strip():
        name, _, value = field.partition(":")
        head[name.lower()] = value.strip()
    read.read(int(head.get("content-length", 0)))
    return head


def http(status, body=b"", *fields):
    """An answer as it goes over the wire."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(data)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + data


@contextmanager
def wired(*answers):
    """A server that is listening."""
    wire = Wire()
    wire.answers += answers
    wire.begin(wire.listen)
    try:
        yield wire
    finally:
        wire.close()
