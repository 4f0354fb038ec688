"""What can go wrong between actors, as the sender sees it."""

from __future__ import annotations


class ActorError(Exception):
    """Any failure of the runtime to do what a caller asked of it."""


class ActorDead(ActorError):
    """The actor is gone: nobody will ever answer this (S11)."""


class AskTimeout(ActorError, TimeoutError):
    """No answer came within the time the ask allowed (S12)."""


class AskToSelf(ActorError):
    """An actor asked itself and would have waited for its own answer (S12)."""


class MailboxFull(ActorError):
    """A bounded mailbox refused the message, or had no room in time (S11)."""


class NameTaken(ActorError):
    """An actor of that name is alive."""


class StartFailed(ActorError):
    """The actor could not be built or started; ``cause`` says why."""

    def __init__(self, name: str, cause: BaseException) -> None:
        super().__init__(f"{name} did not start: {type(cause).__name__}: {cause}")
        self.name = name
        self.cause = cause


class SystemStopped(ActorError):
    """The system is shutting down and starts nothing any more."""


class Unreachable(ActorDead, ConnectionError):
    """The actor lives in another process and there is no way to it now (S13)."""


class ReplyError(Exception):
    """A declared refusal: it reaches the asker and leaves the actor alive (S12)."""


class RemoteError(Exception):
    """An error that was raised in another process, as its type's name and its text."""

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name
        self.text = text
