"""ensemble_with_audit: many answer, one audits."""

from __future__ import annotations

from typing import Any

from tools.golden.play import Data, Play, ids, intend, llm, paid, person, query
from tools.golden.stories.telling import story


def audit(*, backup: bool = True, quorum: int | None = None, **plan: Any) -> Play:
    pattern: Data = {"pattern": "ensemble_with_audit", "auditor": ids("u"), "audit_timeout_secs": 9}
    if backup:
        pattern["backup_auditor"] = ids("v")
    members: Data = {"fold": {"kind": "majority"}} | ({"min_quorum": quorum} if quorum else {})
    who = [llm("a"), llm("b"), llm("c"), paid("u", 1.0), paid("v", 1.0)]
    return Play(intend(query("a", "b", "c", pattern=pattern, **members), *who, **plan))


def answered(play: Play) -> Play:
    return play.reply("primary/0", 4).reply("primary/1", 4).reply("primary/2", 5)


@story
def ensemble_approved() -> Play:
    return answered(audit()).reply("audit/0", {"approved": True})


@story
def ensemble_rejected() -> Play:
    return answered(audit()).reply("audit/0", {"approved": False, "reason": "it is 5"})


@story
def ensemble_backup_approves() -> Play:
    return answered(audit()).passes(9).reply("backup/0", {"approved": True})


@story
def ensemble_both_auditors_silent() -> Play:
    return answered(audit()).fail("audit/0", "declined").passes(9)


@story
def ensemble_no_backup() -> Play:
    return answered(audit(backup=False)).passes(9)


@story
def ensemble_auditor_fails_without_a_backup() -> Play:
    return answered(audit(backup=False, reducer=2)).fail("audit/0", problem="its check broke")


@story
def ensemble_both_auditors_fail() -> Play:
    play = answered(audit(reducer=2)).fail("audit/0", problem="its check broke")
    return play.fail("backup/0", "declined")


@story
def ensemble_verdict_is_none() -> Play:
    return answered(audit()).reply("audit/0", "fine").reply("backup/0", {"approved": "yes"})


@story
def ensemble_approval_of_another_answer() -> Play:
    play = answered(audit()).reply("audit/0", {"approved": True, "hash": "f" * 64})
    return play.fail("backup/0")


@story
def ensemble_quorum_fails_no_audit() -> Play:
    return audit(quorum=3).reply("primary/0", 4).fail("primary/1")


@story
def ensemble_fold_fails_no_audit() -> Play:
    return audit().reply("primary/0", 1).reply("primary/1", 2).reply("primary/2", 3)


@story
def ensemble_quorum_leaves_one_behind() -> Play:
    play = audit(quorum=2).reply("primary/0", 4).reply("primary/2", 4).reply("primary/1", 5)
    return play.reply("audit/0", {"approved": True})


@story
def ensemble_audit_not_paid() -> Play:
    return answered(audit(budget=0.5))


@story
def ensemble_nobody_audits_himself() -> Play:
    pattern: Data = {"pattern": "ensemble_with_audit", "auditor": ids("a", "u")}
    play = Play(intend(query("a", pattern=pattern), llm("a", trust=1.0), llm("u")))
    return play.reply("primary/0", 1).reply("audit/0", {"approved": True})


@story
def ensemble_failed_auditor_is_not_his_own_backup() -> Play:
    pattern: Data = {
        "pattern": "ensemble_with_audit",
        "auditor": ids("a", "u", "v"),
        "backup_auditor": ids("a", "u", "v"),
    }
    who = [llm("a", trust=1.0), llm("u", trust=0.95), llm("v", trust=0.5)]
    play = Play(intend(query("a", pattern=pattern), *who, reducer=4))
    return play.reply("primary/0", 1).fail("audit/0").reply("backup/0", {"approved": True})


@story
def ensemble_absent_people_answer_though_they_might_audit() -> Play:
    pattern = {"pattern": "ensemble_with_audit", "auditor": ids("p"), "backup_auditor": ids("u")}
    who = [person("p", available=False), llm("u")]
    play = Play(intend(query("p", pattern=pattern), *who, reducer=3))
    return play.reply("primary/0", 4).reply("backup/0", {"approved": True})


@story
def ensemble_delegate_does_not_audit_himself() -> Play:
    pattern = {"pattern": "ensemble_with_audit", "auditor": ids("b"), "backup_auditor": ids("u")}
    who = [person("a", sla_secs=10, delegates=["did:b"]), person("b"), llm("u")]
    play = Play(intend(query("a", pattern=pattern), *who, reducer=4)).passes(11)
    play.reply("primary/0", "mine", by="did:b")
    return play.reply("backup/0", {"approved": True})


@story
def ensemble_model_does_not_audit_itself_under_another_name() -> Play:
    pattern = {"pattern": "ensemble_with_audit", "auditor": ids("big"), "backup_auditor": ids("u")}
    who = [llm("chat", alias_of="big"), llm("big"), llm("u")]
    play = Play(intend(query("chat", pattern=pattern), *who, reducer=6))
    return play.reply("primary/0", 1).reply("backup/0", {"approved": True})
