"""Where people are told for real: a webhook and a mail server on loopback."""

import json
import threading
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller

from covend.testing import free_port


class Webhook:
    """Takes apprise's JSON, or answers 500 as often as ``failing`` says; waits while held."""

    def __init__(self):
        self.took, self.refused, self.failing = [], 0, 0
        self.asked = threading.Event()
        self.open = threading.Event()
        self.open.set()

    @property
    def titles(self):
        return [title for title, _ in self.took]

    def hear(self, body):
        self.asked.set()
        self.open.wait(10)
        if self.failing > 0:
            self.failing -= 1
            self.refused += 1
            return 500
        self.took.append((body["title"], body["message"]))
        return 200


@contextmanager
def webhook():
    """A webhook; its ``address`` is an apprise address."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(hook.hear(body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    hook.address = f"json://127.0.0.1:{server.server_port}/told"
    try:
        yield hook
    finally:
        hook.open.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Offender:
    """A webhook that answers as its path says: ``endless``, ``dripping``, ``moved``, or well."""

    def __init__(self):
        self.asked = []
        self.written = 0
        self.ended = threading.Event()

    def answer(self, handler):
        name = handler.path.strip("/")
        self.asked.append(name)
        if name == "moved":
            handler.send_response(302)
            handler.send_header("Location", "/login")
        else:
            handler.send_response(200)
        handler.end_headers()
        part, pause = {"endless": (bytes(2**20), 0), "dripping": (b" ", 0.1)}.get(name, (b"", 0))
        while part and not self.ended.wait(pause):
            handler.wfile.write(part)
            self.written += len(part)


@contextmanager
def offender():
    """A server that is badly meant; ``address(name)`` is an apprise address of one webhook."""
    bad = Offender()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self):
            try:
                bad.answer(self)
            except ConnectionError:
                self.close_connection = True  # whoever asked was stopped, as is tested

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # they are waited for at the end
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    bad.address = lambda name: f"json://127.0.0.1:{server.server_port}/{name}"
    try:
        yield bad
    finally:
        bad.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Mailbox:
    """Every mail that came, as (to, subject, text)."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        text = mail.get_body(("plain", "html")).get_content()
        self.mails.append((envelope.rcpt_tos[0], mail["Subject"], text))
        return "250 OK"

    def to(self, who):
        return [(subject, text) for to, subject, text in self.mails if to == who]


@contextmanager
def mail_server():
    """A mail server; ``address(who)`` is an apprise address of a person there."""
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    mailbox.address = lambda who: (
        f"mailto://example.org?smtp=127.0.0.1&port={controller.port}&mode=insecure"
        f"&from=box@example.org&to={who}"
    )
    try:
        yield mailbox
    finally:
        controller.stop()
