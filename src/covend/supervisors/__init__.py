"""Supervision as OTP has it: children restarted by rule, of actors and of processes alike."""

from covend.supervisors.backoff import Backoff
from covend.supervisors.dynamic import DynamicSupervisor
from covend.supervisors.hosting import NotReady, ProcessEnded
from covend.supervisors.messages import (
    ChildInfo,
    CountChildren,
    Counts,
    DeleteChild,
    FailedToStart,
    FindChild,
    Report,
    RestartChild,
    StartChild,
    StartMember,
    TerminateChild,
    WhichChildren,
)
from covend.supervisors.specs import (
    ChildSpec,
    DynamicSpec,
    ProcessSpec,
    SpecError,
    SupervisorSpec,
)
from covend.supervisors.supervisor import Supervisor

__all__ = [
    "Backoff",
    "ChildInfo",
    "ChildSpec",
    "CountChildren",
    "Counts",
    "DeleteChild",
    "DynamicSpec",
    "DynamicSupervisor",
    "FailedToStart",
    "FindChild",
    "NotReady",
    "ProcessEnded",
    "ProcessSpec",
    "Report",
    "RestartChild",
    "SpecError",
    "StartChild",
    "StartMember",
    "Supervisor",
    "SupervisorSpec",
    "TerminateChild",
    "WhichChildren",
]
