"""ensemble_with_audit: many answer, one answer is folded, an auditor approves that very one.

The ``learn`` between fan-out and audit fixes the folded answer by its sha256, before the auditor
is shown it; an approval holds for that hash, and one that names another is none.

| the audit | the end |
|---|---|
| approves | fulfilled, ``audit.state`` approved |
| rejects | rejected: the answer only under ``audit`` |
| silent, or no verdict | the backup auditor, then degraded, ``audit.state`` unaudited |
| cannot be paid for | error cost_budget_exceeded |
"""

from __future__ import annotations

import hashlib
from typing import Any

from covend.patterns.answers.folding import Folded, FoldProblem
from covend.patterns.decision import Batch, Decision, Done, Wait
from covend.patterns.fulfilling import ROUND, fan_out, folded
from covend.patterns.query.names import Status
from covend.patterns.query.spec import Ensemble
from covend.patterns.rounds import Ask, Closed, NotAsked, closing, stand
from covend.patterns.state import K, Response
from covend.phylactery.canonical import canonical

AUDIT, BACKUP = "audit", "backup"


def select(k: K) -> Decision:
    """Fan out, fold, audit (rules §6)."""
    spec = k.query.orchestration
    assert isinstance(spec, Ensemble)
    noted = k.noted("audited")
    if noted:
        return audited(k, spec, noted)
    match stand(k, fan_out(k)):
        case Wait() | Batch() as decision:
            return decision
        case NotAsked() as refused:
            return Done("error", code=refused.code, reason=refused.reason)
        case Closed() as closed:
            return to_audit(k, closed)


def to_audit(k: K, closed: Closed) -> Decision:
    """Fix what is to be audited; without a quorum or a fold there is nothing to audit."""
    match folded(k, closed):
        case FoldProblem() as problem:
            return Done("error", code=problem.code, reason=problem.reason)
        case Folded() as fold:
            body = {
                "audited": hashlib.sha256(canonical(fold.answer)).hexdigest(),
                "answer": fold.answer,
                "confidence": fold.confidence,
                "folded": [response.call for response in fold.responses],
                "obligations": list(fold.obligations),
                "closed": closing(k),
            }
            return Batch(learn=(body,))


def audited(k: K, spec: Ensemble, noted: list[dict[str, Any]]) -> Decision:
    """The auditor's verdict, else the backup's, else none."""
    answer, silent = noted[0], noted[1:]
    if len(silent) == 2:
        audit = {"state": "unaudited", "reason": unheard(k, spec, silent)}
        return ended(k, answer, "degraded", audit)
    name = (AUDIT, BACKUP)[len(silent)]
    match stand(k, ask(k, spec, answer, name)):
        case Wait() | Batch() as decision:
            return decision
        case NotAsked(code="cost_budget_exceeded", reason=reason):
            audit = {"state": "unaudited", "reason": reason}
            return ended(k, answer, "error", audit, "cost_budget_exceeded")
        case NotAsked(reason=reason):
            return passed_on(k, answer, reason)
        case Closed() as closed:
            for response in closed.responses:
                verdict = approves(response, answer["audited"])
                if verdict is not None:
                    return decided(k, answer, response, verdict)
            return passed_on(k, answer, silence(k, closed, name))


def ask(k: K, spec: Ensemble, answer: dict[str, Any], name: str) -> Ask:
    """An audit's round; whoever was asked for the answer itself, or for the other audit, is out."""
    first = name == AUDIT
    return Ask(
        name,
        spec.auditor if first else spec.backup_auditor,
        role="audit",
        timeout_secs=spec.audit_timeout_secs,
        apart=(ROUND, BACKUP if first else AUDIT),
        show=answer["answer"],
        final=not first or not spec.backup_auditor,
    )


def passed_on(k: K, answer: dict[str, Any], reason: str) -> Batch:
    """The ``learn`` of an auditor without a verdict: the next one is asked, if there is one."""
    return Batch(learn=({"audited": answer["audited"], "silent": reason, "closed": closing(k)},))


def silence(k: K, closed: Closed, name: str) -> str:
    """Why a round of audit brought no verdict, in the auditor's own words where there are any."""
    if closed.responses:
        return "no verdict on this answer"
    problems = [call.problem for call in k.round(name) if call.problem]
    if not k.rules.silence_explained or not problems:
        return closed.reason
    return f"{closed.reason}: {problems[-1]}"


def unheard(k: K, spec: Ensemble, silent: list[dict[str, Any]]) -> str:
    """Why nobody audited: the auditor's reason, and the backup's where one is declared."""
    auditor, backup = (str(each["silent"]) for each in silent)
    if not k.rules.silence_explained:
        return backup
    if not spec.backup_auditor:
        return f"auditor: {auditor}; there is no backup auditor"
    return f"auditor: {auditor}; backup auditor: {backup}"


def approves(response: Response, digest: str) -> bool | None:
    """A verdict on that very answer; None where there is none. Only a plain yes approves."""
    match response.value:
        case {"approved": bool(approved), **said}:
            return approved if said.get("hash", digest) == digest else None
        case _:
            return None


def decided(k: K, answer: dict[str, Any], response: Response, approved: bool) -> Done:
    """The end that a verdict brings."""
    audit = {
        "state": "approved" if approved else "rejected",
        "by": response.responder,
        "call": response.call,
        "verdict": response.value,
    }
    return ended(k, answer, "fulfilled" if approved else "rejected", audit)


def ended(
    k: K, answer: dict[str, Any], status: Status, audit: dict[str, Any], code: str | None = None
) -> Done:
    """An answer that may be used is the answer; any other is kept in the audit only."""
    usable = status in ("fulfilled", "degraded")
    details: dict[str, Any] = {"audit": audit | {"hash": answer["audited"]}}
    if not usable:
        details["audit"]["answer"] = answer["answer"]
    elif answer["obligations"]:
        details["obligations"] = answer["obligations"]
    return Done(
        status,
        answer["answer"] if usable else None,
        answer["confidence"] if usable else None,
        code=code,
        reason=audit.get("reason"),
        folded=k.responses(answer["folded"]) if usable else (),
        details=details,
    )
