"""The reactor actor: takes intents, has them carried out, tells the core to look at the world.

It never blocks: what takes time runs in one worker thread, one intent after the other. The file
is the authority, ``IntentPosted`` only a hint; the folder is looked at on every hint and on a slow
clock besides. What it tells the core are hints as well (W22): the world is the answer.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from covend.config import Box, ConfigErrors, load
from covend.host.driver import Driver, DriverError, OnExit
from covend.host.folders import Folders
from covend.host.intent import (
    CLAIMED,
    SUFFIX,
    Intent,
    IntentError,
    StaleIntent,
    claim,
    pending,
    read_intent,
)
from covend.host.ledger import NonceLedger
from covend.host.oculus import Oculus
from covend.host.plan import Plan, judge
from covend.host.process_driver import ProcessDriver
from covend.host.transmute import Outcome, Transmuter
from covend.host.units import UnitState
from covend.protocol import IntentPosted, IntentRefused, ReloadConfig, WorldChanged
from covend.runtime import Actor, Exit, MailboxSpec, Message, Promise

LOOK_SECONDS = 0.25
"""The folder is looked at this often without a hint: hints get lost with the core."""

TellCore = Callable[[WorldChanged | IntentRefused], None]
_log = logging.getLogger(__name__)


class Look(Message, frozen=True):
    """A timer's message: is there an intent that nobody told us about?"""


class Carried(Message, frozen=True):
    """The worker is done with an intent."""

    intent: Intent
    path: Path
    outcome: Outcome


class Ended(Message, frozen=True):
    """A soulstone's process ended, asked or not."""

    unit: UnitState
    status: int | None


class StopAll(Message, frozen=True):
    """An ask: end every soulstone that covend owns; answered with the error, or None when done."""


class StoppedAll(Message, frozen=True):
    """The worker ended every soulstone, or could not."""

    error: str | None


class Reactor(Actor):
    """The only one that may start or stop a soulstone on this box."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=10_000, policy="block")

    def __init__(
        self,
        box: Box,
        folders: Folders,
        tell_core: TellCore,
        make_driver: Callable[[OnExit], Driver] | None = None,
        oculus: Oculus | None = None,
    ) -> None:
        self.box: Box = box
        self.folders = folders
        self.tell_core = tell_core
        self.make_driver = make_driver or self._process_driver
        self.oculus = oculus or Oculus(box.device)
        self.busy = False
        self.closing = False
        self.stopping: deque[Promise] = deque()
        self.ignored: set[tuple[str, int]] = set()

    def on_start(self) -> None:
        me = self.ctx.me
        self.key = self.folders.key()
        self.ledger = NonceLedger(self.folders.nonces)
        self.driver = self.make_driver(lambda unit, status: me.tell(Ended(unit, status)))
        self.transmuter = Transmuter(self.driver, self.oculus)
        self.worker = ThreadPoolExecutor(1, "covend-reactor")
        adoption = self.driver.adopt()
        _log.info("adopted %s, reaped %s", adoption.adopted, adoption.reaped)
        self.tell_core(WorldChanged(reason="reactor started"))
        self.drop_unknown()
        self.resume()
        self.look()

    def on_stop(self, reason: Exit) -> None:
        """Soulstones outlive the reactor (S16, W25), unless ``StopAll`` was asked before."""
        self.worker.shutdown(wait=True)
        self.driver.close()
        self.ledger.close()

    def on_receive(self, message: object) -> object:
        match message:
            case Look() | IntentPosted():
                self.look()
            case Carried(intent, path, outcome):
                self.carried(intent, path, outcome)
            case Ended(unit, status):
                self.ended(unit, status)
            case ReloadConfig(path):
                self.configure(path)
            case StopAll():
                return self.stop_all()
            case StoppedAll(error):
                self.stopping.popleft().reply(error)
            case _:
                _log.warning("the reactor does not understand %r", message)
        return None

    # ── intents ──────────────────────────────────────────────────────────────────────────────

    def look(self) -> None:
        """Judge what lies in the folder, oldest first, until one is accepted (W22)."""
        if not self.busy and not self.closing:
            for path in pending(self.folders.intents):
                if self.consider(path):
                    break
        self.ctx.timer("look", LOOK_SECONDS, Look())

    def consider(self, path: Path) -> bool:
        """Accept the intent in a file and begin, or refuse it and remove the file."""
        try:
            intent = read_intent(path, self.key)
            self.ledger.check(intent)
            plan = judge(intent, self.driver.observe(), self.box, time.time())
            self.ledger.accept(intent)
        except IntentError as error:
            self.refuse(path, str(error), isinstance(error, StaleIntent))
            return False
        claimed = claim(path)
        if claimed is None:
            self.ledger.end(intent.nonce)  # its writer took it back while we read it
            return False
        self.begin(intent, claimed, plan)
        return True

    def drop_unknown(self) -> None:
        """Remove claimed files that the ledger knows nothing of: nobody would ever end them."""
        known = {f"{fact.id}{CLAIMED}" for fact in self.ledger.interrupted}
        for path in self.folders.intents.glob(f"*{CLAIMED}"):
            if path.name not in known:
                _log.warning("%s is of no intent that was accepted: removed", path.name)
                path.unlink(missing_ok=True)

    def resume(self) -> None:
        """Finish what an earlier reactor accepted and a crash interrupted (W25)."""
        for fact in self.ledger.interrupted:
            path = self.folders.intents / f"{fact.id}{SUFFIX}"
            claim(path)  # where the crash came between accepting and claiming
            path = path.with_suffix(CLAIMED)
            try:
                intent = read_intent(path, self.key)
                if intent.nonce != fact.nonce:
                    raise IntentError("another intent took its place")
                plan = judge(intent, self.driver.observe(), self.box, time.time(), resumed=True)
            except IntentError as error:
                _log.warning("the interrupted intent %s is dropped: %s", fact.id, error)
                path.unlink(missing_ok=True)
                self.ledger.end(fact.nonce)
                self.tell_core(WorldChanged(reason=f"interrupted: {error}", intent=fact.id))
                continue
            self.begin(intent, path, plan)
            return

    def begin(self, intent: Intent, path: Path, plan: Plan) -> None:
        """Hand a plan to the worker; ``Carried`` comes back."""
        me, box = self.ctx.me, self.box
        self.busy = True
        seconds = box.transition.host_action

        def work() -> None:
            me.tell(Carried(intent, path, self.transmuter.carry_out(plan, box, seconds)))

        self.worker.submit(work)

    def carried(self, intent: Intent, path: Path, outcome: Outcome) -> None:
        """The world changed: note it, tell it, look for the next."""
        _log.info("intent %s: %s", intent.id, outcome)
        reason = "carried out" if outcome.error is None else f"failed: {outcome.error}"
        # The ledger comes last: it waits for the disk, and who crashes before it finds no file
        # and so nothing to resume.
        path.unlink(missing_ok=True)
        self.tell_core(WorldChanged(reason=reason, intent=intent.id))
        if outcome.error is not None:
            self.tell_core(IntentRefused(intent=intent.id, reason=outcome.error))
        self.ledger.end(intent.nonce)
        self.busy = False
        self.look()

    def refuse(self, path: Path, reason: str, stale: bool) -> None:
        """Say why, and remove the file so that it is judged once."""
        name = path.name.removesuffix(SUFFIX)[:80]
        try:
            key = (path.name, path.lstat().st_ino)
        except FileNotFoundError:
            return  # withdrawn while we looked
        if key in self.ignored:
            return
        try:
            path.unlink()
        except OSError:
            self.ignored.add(key)  # a folder, say: told once, then left alone
        _log.warning("intent %r refused: %s", name, reason)
        self.tell_core(IntentRefused(intent=name, reason=reason, stale=stale))

    # ── soulstones ───────────────────────────────────────────────────────────────────────────

    def ended(self, unit: UnitState, status: int | None) -> None:
        """A soulstone died by itself: tell at once, then clear away what it left running."""
        self.tell_core(WorldChanged(reason=_how(status), soulstone=unit.name))
        if not self.closing:
            self.worker.submit(self.sweep, unit)

    def sweep(self, unit: UnitState) -> None:
        """End the children that outlived a soulstone. Worker thread."""
        now = self.driver.observe().get(unit.name)
        if now is not None and not now.alive and now.launch == unit.launch:
            try:
                self.driver.stop(unit.name, 0.0)
            except (DriverError, OSError):
                _log.exception("remains of %s", unit.name)

    def stop_all(self) -> object:
        """End every soulstone that covend owns, after what is under way; accept nothing more."""
        me = self.ctx.me
        self.closing = True
        self.transmuter.give_up()
        answer = self.ctx.later()
        self.stopping.append(answer)

        def work() -> None:
            grace = {
                name: 0.0 if spec is None else spec.stop_seconds
                for name in self.driver.observe()
                if (spec := self.box.find_soulstone(name)) is None or spec.authority == "exclusive"
            }
            try:
                self.transmuter.stop(grace)
            except (DriverError, OSError) as error:
                me.tell(StoppedAll(str(error)))
            else:
                me.tell(StoppedAll(None))

        self.worker.submit(work)
        return answer

    def configure(self, path: str) -> None:
        """Take up a changed configuration; nothing is started or stopped for it (G10)."""
        try:
            box = load(path)
        except ConfigErrors as error:
            _log.error("the new configuration is not taken up: %s", error)
            return
        if box.device != self.box.device:
            self.oculus = Oculus(box.device)
            self.transmuter = Transmuter(self.driver, self.oculus)
        self.box = box
        self.driver.configure({spec.name: spec for spec in box.soulstone})

    def _process_driver(self, on_exit: OnExit) -> Driver:
        return ProcessDriver(
            self.folders, {spec.name: spec for spec in self.box.soulstone}, on_exit
        )


def _how(status: int | None) -> str:
    if status is None:
        return "exited"
    return f"exited: status {status}" if status >= 0 else f"exited: signal {-status}"
