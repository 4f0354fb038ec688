"""A provider that charges for its work, keeps it by its idempotency key, and loses connections."""

import json
import select
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing the socket resets the connection."""


class Payee(ThreadingHTTPServer):
    """Each path is a responder whose answer is its name; ``held`` paths work until they are let go.

    ``asked`` are the (path, key) of every request, ``paid`` the keys for which work was done once
    each. ``resets`` is how many answers are lost after the work was done, ``refusals`` how many
    requests are refused before it, ``busy`` how many are after it, ``conflicts`` how many for a
    key are, since its work is not done yet. With the first two it asks to be left alone for
    ``retry_after``. ``left`` counts clients that hung up while it worked.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Work)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked, self.paid = [], []
        self.resets = self.refusals = self.busy = self.conflicts = self.left = 0
        self.retry_after = None
        self.held = {}
        self.lock = threading.Lock()

    def hold(self, *paths):
        for path in paths:
            self.held[path] = threading.Event()

    def let_go(self):
        for event in self.held.values():
            event.set()

    def keys(self, path):
        return [key for asked, key in self.asked if asked == path]


class Work(BaseHTTPRequestHandler):
    def do_POST(self):
        payee, name = self.server, self.path.strip("/")
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        with payee.lock:
            payee.asked.append((name, key))
            if payee.refusals:
                payee.refusals -= 1
                self.reply(503, "busy")
                return
            if key in payee.paid and payee.busy:
                payee.busy -= 1
                self.reply(429, "slow down")
                return
            if key in payee.paid and payee.conflicts:
                payee.conflicts -= 1
                self.reply(409, "still at it")
                return
            if key not in payee.paid:
                payee.paid.append(key)
        if not self.finished(payee.held.get(name)):
            payee.left += 1
            return
        with payee.lock:
            reset, payee.resets = payee.resets > 0, max(0, payee.resets - 1)
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.connection.close()
            self.close_connection = True
            return
        self.reply(200, f"from {name}")

    def finished(self, held):
        """Whether the work ended before its client hung up."""
        while held is not None and not held.wait(0.01):
            if select.select([self.connection], [], [], 0)[0]:
                return False
        return True

    def reply(self, status, answer):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status in (429, 503) and self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()
        self.wfile.write(data)

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass  # the connection was reset, as it was meant to be

    def log_message(self, *args):
        pass  # what it was asked is its log


@contextmanager
def serving():
    payee = Payee()
    thread = threading.Thread(target=payee.serve_forever, args=(0.01,))
    thread.start()
    yield payee
    payee.let_go()
    payee.shutdown()
    thread.join()
    payee.server_close()
