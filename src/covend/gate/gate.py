"""The gate: takes requests, decides from what the core last said, relays (W8, G1–G8).

A gate never asks the core anything. It serves what was open when the core last spoke, holds what
is not, and tells what it holds; so a dead core drops no stream (W8).
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import ssl
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from covend.config import Box, ConfigErrors, load
from covend.gate import body as bodies
from covend.gate import own
from covend.gate.admission import WAITING, Desk
from covend.gate.client import Client
from covend.gate.errors import Refusal
from covend.gate.exchange import Exchange
from covend.gate.keys import Account, Keys, credential, effective_class
from covend.gate.relay import CAPABILITY, KEYED, Relayed, Socket, is_api
from covend.gate.reports import CoreLink, Reports
from covend.gate.request import Request
from covend.gate.routes import UPSTREAM, UPSTREAM_CLASS, Routing, no_such_path
from covend.gate.upstream import Pool
from covend.protocol import Admission, CoreHello, PauseAdmission, RefuseWaiting, ReloadConfig

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
BROKEN_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""How long a soulstone that broke a connection is left alone, by how often in a row it did."""

BODIES_IN_HAND = 16
"""So many bodies of the largest size allowed may be in memory at once (G8)."""

MAX_TIMEOUT = 7 * 86400.0
_CREDENTIALS = frozenset((b"authorization", b"x-api-key"))
_CLOSED_METHODS = (b"CONNECT", b"TRACE")


class Gate:
    """One gate process's data plane. Everything runs in the loop that called ``start``."""

    def __init__(
        self,
        config: Box,
        link: CoreLink,
        name: str = "gate-0",
        incarnation: int = 0,
        api: str = "",
    ) -> None:
        self.box = config
        self.limits = config.gate
        self.name = name
        self.report = Reports(link, name, incarnation)
        self.desk = Desk(config.whim.sla, self.report.changed, self.report.signal)
        self.routing = Routing(config)
        self.keys = Keys(config, gate=name)
        self.pools: dict[str, Pool] = {}
        self.retired: list[Pool] = []
        self.api = Socket(api)
        self.eta: dict[str, float] = {}
        self.clients: set[Client] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.buffered = 0
        self.max_buffered = BODIES_IN_HAND * config.gate.max_body_bytes
        self.stopping = False
        self.address: tuple[str, int] = ("", 0)
        self.core = 0
        self.serial = 0
        self.prefix = os.urandom(8).hex()
        self.server: asyncio.Server | None = None
        self.sweeper: asyncio.TimerHandle | None = None
        self.loop: asyncio.AbstractEventLoop
        self._configure(config)

    @property
    def exchanges(self) -> list[Exchange | Relayed]:
        """The requests in hand, waiting or served; each is the one its client waits for."""
        return [client.exchange for client in self.clients if client.exchange is not None]

    # ── life ────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Listen, and announce the gate. Raises ``OSError`` where the address is taken."""
        self.loop = asyncio.get_running_loop()
        host, _, port = self.box.listen.rpartition(":")
        tls = None
        if self.box.gate.tls_cert is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self.box.gate.tls_cert, self.box.gate.tls_key)
        self.server = await self.loop.create_server(
            lambda: Client(self),
            host.strip("[]") or None,
            int(port),
            ssl=tls,
            backlog=1024,
            reuse_port=self.box.gates > 1,
        )
        self.address = self.server.sockets[0].getsockname()[:2]
        self.report.start(self.desk, self.loop)
        self._sweep()

    async def stop(self, grace: float = STOP_SECONDS) -> None:
        """Refuse what waits, let what is in flight end for ``grace`` seconds, then cut it."""
        self.stopping = True
        if self.server is not None:
            self.server.close()
        for exchange in self.exchanges:
            if exchange.state == WAITING:
                exchange.refuse(
                    Refusal(503, "stopping", "this box is being stopped", retry_after=5)
                )
            elif isinstance(exchange, Relayed) and exchange.streams:
                exchange.cut()  # it has no end to wait for
        for client in list(self.clients):
            if not client.busy:
                client.transport.close()
        await self._until(lambda: not self.exchanges, grace)
        for client in list(self.clients):
            client.transport.abort()
        for task in self.tasks:
            task.cancel()
        pools = [*self.pools.values(), *self.retired, self.api]
        for pool in pools:
            pool.close()
            for upstream in list(pool.all):
                upstream.abort()
        await self._until(
            lambda: not self.clients and not self.tasks and not any(p.all for p in pools), 1.0
        )
        if self.sweeper is not None:
            self.sweeper.cancel()
        self.report.stop()
        if self.server is not None:
            await self.server.wait_closed()

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition of many parts, none of which would know when all are done."""
        deadline = monotonic() + seconds
        while not done() and monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a connect beside the byte path."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _sweep(self) -> None:
        limits = self.limits
        shortest = min(limits.header_seconds, limits.body_seconds, limits.idle_seconds)
        now = monotonic()
        for client in list(self.clients):
            client.sweep(now)
        self.sweeper = self.loop.call_later(min(max(shortest / 4, 0.02), 0.5), self._sweep)

    # ── configuration ───────────────────────────────────────────────────────────────────────

    def _configure(self, box: Box) -> None:
        """Take over a configuration; what did not change is not touched (G10)."""
        self.box = box
        self.limits = box.gate
        self.routing = Routing(box)
        self.keys = Keys(box, self.keys)
        self.max_buffered = BODIES_IN_HAND * box.gate.max_body_bytes
        self.desk.sla = box.whim.sla
        pools: dict[str, Pool] = {}
        for name, target in self.routing.targets.items():
            old = self.pools.pop(name, None)
            if old is not None and old.target == target:
                pools[name] = old
            else:
                if old is not None:
                    self._retire(old)
                pools[name] = Pool(target)
        for gone in self.pools.values():
            self._retire(gone)
        self.pools = pools
        limits = {name: target.slots for name, target in self.routing.targets.items()}
        self.desk.configure(limits, self.routing.serving)

    def _retire(self, pool: Pool) -> None:
        pool.close()
        self.retired = [old for old in self.retired if old.all]
        self.retired.append(pool)

    def _reload(self, path: str) -> None:
        """Read the file again. Streams go on; what can no longer be served is refused (G10)."""
        try:
            box = load(path)
        except (ConfigErrors, OSError):
            log.exception("%s: the new configuration is not taken over", self.name)
            return
        self._configure(box)
        for exchange in self.exchanges:
            if exchange.state == WAITING and exchange.capability not in self.routing.serving:
                text = f"{exchange.capability!r} is gone from the configuration"
                exchange.refuse(Refusal(404, "model_not_found", text, where="$.model"))
        self.desk.serve_all(monotonic())

    # ── the core ────────────────────────────────────────────────────────────────────────────

    def on_core(self, message: object) -> None:
        """Take a message of the core; in the gate's loop."""
        match message:
            case Admission():
                self._admit(message)
            case PauseAdmission():
                self.desk.pause(message.soulstones, message.admission)
                for name in message.soulstones:
                    if name in self.pools:
                        self.pools[name].close_idle()
                self.report.drain(message)
            case CoreHello():
                if message.incarnation != self.core:
                    self.core = message.incarnation
                    self.desk.held.clear()
                    self.report.drains.clear()
                self.report.announce()
            case RefuseWaiting():
                self._refuse_waiting(message)
            case ReloadConfig():
                self._reload(message.path)
            case _:
                log.warning("%s: no use for a %s", self.name, type(message).__name__)

    def _admit(self, news: Admission) -> None:
        if news.epoch <= self.report.admission:
            return
        self.report.admission = news.epoch
        self.eta = news.eta
        for name in self.desk.admit(news.open, news.epoch, monotonic()):
            self.pools[name].close_idle()
        self.report.changed()  # the epoch is told, so that slots can move between gates

    def _refuse_waiting(self, order: RefuseWaiting) -> None:
        for exchange in self.exchanges:
            if exchange.state == WAITING and exchange.capability == order.capability:
                exchange.refuse(
                    Refusal(
                        order.status, "cannot_be_served", order.reason,
                        where="$.model", retry_after=order.retry_after,
                    )
                )  # fmt: skip

    def broke(self, name: str, reason: str) -> None:
        """A soulstone refused or cut a connection: tell the core, leave it alone for a moment."""
        pool = self.pools.get(name)
        if pool is not None:
            pool.close_idle()
        stone = self.desk.stones.get(name)
        if stone is None or stone.broken:
            return
        self.report.broke(name, reason)
        stone.broken = True
        pause = BROKEN_SECONDS[min(stone.failures, len(BROKEN_SECONDS) - 1)]
        stone.failures += 1
        self.loop.call_later(pause, self._mend, name)

    def _mend(self, name: str) -> None:
        stone = self.desk.stones.get(name)
        if stone is not None and stone.broken and not self.stopping:
            stone.broken = False
            self.desk.serve(stone, monotonic())

    # ── requests ────────────────────────────────────────────────────────────────────────────

    def new_id(self) -> str:
        """A request's id: unique among all gates, cheap to make."""
        self.serial += 1
        return f"{self.prefix}-{self.serial}"

    def handle(self, client: Client, request: Request) -> None:
        """Serve one request, or raise ``Refusal``."""
        head = request.head
        route = head.route
        if route is None:
            self._handle_other(client, request)
            return
        if head.method != b"POST":
            own.not_allowed(client, request, "POST, OPTIONS")
            return
        if head.is_form:
            model, request.span = bodies.read_multipart(request.body, head.content_type)
        else:
            model, request.stream, request.span = bodies.read_json(request.body)
        self._begin(client, request, route.klass, model, head.target)

    def _begin(
        self, client: Client, request: Request, klass: str, capability: str, path: bytes
    ) -> None:
        """Give the request a slot, or a place among those that wait (W8, G3)."""
        account = None
        timeout = self.limits.default_timeout
        keys = self.keys
        if keys.accounts or not client.loopback or keys.require_on_loopback:
            account = self._account(client, request)
        if capability not in self.routing.serving:
            raise self.routing.unknown(capability)
        special = request.head.special
        if special or account is not None:
            klass = effective_class(account, special.get(b"x-covend-class"), klass)
            if b"x-covend-timeout" in special:
                timeout = _seconds(special[b"x-covend-timeout"])
            if account is None:
                for name in _CREDENTIALS & special.keys():  # a key of this box stays here
                    request.lines += b"%b: %b\r\n" % (name, special[name])
        now = monotonic()
        if account is not None:
            account.begin(capability, now)
        exchange = Exchange(client, request, path, capability, klass, now, account, timeout)
        client.exchange = exchange
        if not self.desk.arrive(exchange, now, self.limits.waiting_room):
            exchange.refuse(
                Refusal(
                    429, "waiting_room_full",
                    f"{len(self.desk.waiting)} requests wait already; the waiting room is full",
                    retry_after=self.eta.get(capability, 1.0),
                )
            )  # fmt: skip
        elif exchange.state == WAITING:
            exchange.begin_to_wait()

    def _account(self, client: Client, request: Request) -> Account | None:
        special = request.head.special
        token = credential(special.get(b"authorization"), special.get(b"x-api-key"))
        return self.keys.account(token, client.loopback)

    def _handle_other(self, client: Client, request: Request) -> None:
        """Everything but the model routes: the passthrough and the gate's own answers."""
        path, question, query = request.head.target.partition(b"?")
        if path.startswith(UPSTREAM):
            if request.head.method in _CLOSED_METHODS:
                raise Refusal(405, "method", "this method is not relayed", allow="GET, POST")
            name, rest = self.routing.upstream(path)
            self._begin(client, request, UPSTREAM_CLASS, name, rest + question + query)
        elif path == b"/health":
            if own.is_get(client, request):
                client.answer(request, 200, own.health(self.name, self.desk))
        elif own.is_models(path):
            if own.is_get(client, request):
                self._account(client, request)
                client.answer(request, 200, own.models(path, self.routing, self.desk, self.eta))
        elif is_api(path):
            self._relay(client, request, path)
        else:
            raise no_such_path(path)

    def _relay(self, client: Client, request: Request, path: bytes) -> None:
        """Pass a request on to the API process; its pages need no key, what they ask does."""
        account = self._account(client, request) if path.startswith(KEYED) else None
        if account is not None:
            account.begin(CAPABILITY, monotonic())
        relayed = Relayed(client, request, self.api, account)
        client.exchange = relayed
        self.spawn(relayed.run())


def _seconds(value: bytes) -> float:
    """The value of ``X-Covend-Timeout``; raises ``Refusal`` (400)."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_TIMEOUT:
        raise Refusal(
            400, "invalid_timeout",
            f"X-Covend-Timeout must be seconds, above 0 and at most {MAX_TIMEOUT:g}",
            where="X-Covend-Timeout",
        )  # fmt: skip
    return seconds
