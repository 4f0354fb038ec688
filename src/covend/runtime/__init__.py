"""Actors on pykka: two lanes, monitors, timers, addresses, a trace, and a simulation."""

from covend.runtime.actor import Actor, Context, Target
from covend.runtime.address import ActorRef, Address, Wire
from covend.runtime.answer import Answer, Promise
from covend.runtime.envelope import Origin
from covend.runtime.errors import (
    ActorDead,
    ActorError,
    AskTimeout,
    AskToSelf,
    MailboxFull,
    NameTaken,
    RemoteError,
    ReplyError,
    StartFailed,
    SystemStopped,
    Unreachable,
)
from covend.runtime.exits import (
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    ZOMBIE,
    Escalated,
    Exit,
    Failed,
)
from covend.runtime.mailbox import MailboxSpec
from covend.runtime.messages import (
    CONTROL,
    WORK,
    Down,
    DrainConfirm,
    Lane,
    Message,
    MonitorId,
    Shutdown,
    SoftStop,
    decode,
    encode,
    message,
)
from covend.runtime.sim import Deadlock, Livelock, SimSystem
from covend.runtime.system import ActorInfo, DeadLetter, System
from covend.runtime.threads import ThreadSystem
from covend.runtime.trace import TraceRecord, TraceRing
from covend.runtime.workers import Workers

__all__ = [
    "CONTROL",
    "KILLED",
    "NOPROC",
    "NORMAL",
    "SHUTDOWN",
    "WORK",
    "ZOMBIE",
    "Actor",
    "ActorDead",
    "ActorError",
    "ActorInfo",
    "ActorRef",
    "Address",
    "Answer",
    "AskTimeout",
    "AskToSelf",
    "Context",
    "DeadLetter",
    "Deadlock",
    "Down",
    "DrainConfirm",
    "Escalated",
    "Exit",
    "Failed",
    "Lane",
    "Livelock",
    "MailboxFull",
    "MailboxSpec",
    "Message",
    "MonitorId",
    "NameTaken",
    "Origin",
    "Promise",
    "RemoteError",
    "ReplyError",
    "Shutdown",
    "SimSystem",
    "SoftStop",
    "StartFailed",
    "System",
    "SystemStopped",
    "Target",
    "ThreadSystem",
    "TraceRecord",
    "TraceRing",
    "Unreachable",
    "Wire",
    "Workers",
    "decode",
    "encode",
    "message",
]
