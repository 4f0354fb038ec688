"""verify: two answer independently; agreement commits, disagreement goes to a third.

| what came | what follows |
|---|---|
| both, and they agree | fulfilled with the primary's answer |
| both, and they disagree | the tiebreaker sees both; its answer wins |
| one | the tiebreaker is a second opinion: it sees nothing and must agree |
| none | error |
| no tiebreaker, or it failed, or the second opinion differs | unresolved, with both answers |
| no money for the pair, the judge or the tiebreaker | error cost_budget_exceeded |

Answers agree by the fold's key; a judge, where one is declared, is asked about those that do not.
"""

from __future__ import annotations

from typing import Any, cast

from covend.patterns.answers.agreement import agreement
from covend.patterns.answers.folding import Folded, FoldProblem, obligations
from covend.patterns.decision import Batch, Decision, Done, Wait
from covend.patterns.fulfilling import fulfilled
from covend.patterns.query.spec import Verify
from covend.patterns.rounds import Ask, Closed, NotAsked, closing, progress, stand, start
from covend.patterns.state import K, Response, fold

PRIMARY, VERIFIER, JUDGE, THIRD = "primary", "verifier", "judge", "tiebreaker"
NO_MONEY = "cost_budget_exceeded"


def select(k: K) -> Decision:
    """Ask both at once, compare, and ask a third only where that settles nothing (rules §6)."""
    spec = k.query.orchestration
    assert isinstance(spec, Verify)
    if not k.calls:
        return pair(k, spec)
    closed = both_closed(k, spec)
    if not isinstance(closed, list):
        return closed
    answers = [response for each in closed for response in each.responses]
    if not answers:
        return nobody(k)
    if len(answers) == 2 and not k.noted("verify"):
        match agree(k, spec, *answers):
            case True:
                return agreed(k, answers[0], answers)
            case False:
                pass
            case decision:
                return decision
    return third(k, spec, answers)


def both_closed(k: K, spec: Verify) -> list[Closed] | Decision:
    """Both rounds, once they are over; until then what is to be done, if only to wait."""
    closed: list[Closed] = []
    waiting = False
    for ask in asks(k, spec):
        calls = k.round(ask.round)
        match progress(k, ask, calls) if calls else Closed((), quorum_met=False):
            case Batch() as again:
                return again
            case Closed() as over:
                closed.append(over)
            case Wait() if not k.rules.lost_is_sent_again_at_once:
                return Wait()
            case Wait():
                waiting = True
    return Wait() if waiting else closed


def asks(k: K, spec: Verify) -> tuple[Ask, Ask]:
    """Both rounds; the verifier is another responder and never sees the primary's answer.

    A tiebreaker comes after them only where one of them was asked: without a primary the verifier
    is the last (P9).
    """
    alone = not spec.tiebreaker
    last = alone or not k.round(PRIMARY)
    return (
        Ask(PRIMARY, k.query.responders, final=alone),
        Ask(VERIFIER, spec.verifier, role="verify", apart=(PRIMARY,), final=last),
    )


def pair(k: K, spec: Verify) -> Decision:
    """Both begin together; where the money is not enough for both, neither does (P13)."""
    calls: list[dict[str, Any]] = []
    refused: list[NotAsked] = []
    after = k
    for index in (0, 1):
        match start(after, asks(after, spec)[index]):
            case NotAsked() as reason:
                refused.append(reason)
            case begun:
                calls += begun.calls
                for body in begun.calls:
                    after = fold(after, "call", body, k.now)
    halting = [each for each in refused if each.code == NO_MONEY]
    if calls and not halting:
        return Batch(calls=tuple(calls))
    why = (halting or refused)[0]
    return Done("error", code=why.code, reason=why.reason)


def nobody(k: K) -> Done:
    """The end where neither answered: an error with the code that any round would have."""
    calls = [*k.round(PRIMARY), *k.round(VERIFIER)]
    closed = Closed((), False, {call.id: call.left_open(k.now) for call in calls})
    return Done("error", code=closed.code, reason=closed.reason)


def agree(k: K, spec: Verify, one: Response, other: Response) -> bool | Decision:
    """Whether two answers are the same; a judge sees them in an order drawn by the seed (P16)."""
    if agreement(k.query.fold, one.value, other.value) >= spec.threshold:
        return True
    if spec.judge is None:
        return False
    ask = Ask(
        JUDGE,
        spec.judge.responders,
        role="judge",
        show=[one.value, other.value],
        final=not spec.tiebreaker or bool(k.round(THIRD)),
    )
    match stand(k, ask):
        case Wait() | Batch() as decision:
            return decision
        case Closed() as closed:
            return any(says_agree(verdict.value) for verdict in closed.responses)
        case NotAsked(code="cost_budget_exceeded", reason=reason):
            return Done("error", code=NO_MONEY, reason=reason, details=both([one, other]))
        case NotAsked():
            return False


def says_agree(value: Any) -> bool:
    """A judge's verdict; anything but a plain yes is a no."""
    return isinstance(value, dict) and cast("dict[str, Any]", value).get("agree") is True


def third(k: K, spec: Verify, answers: list[Response]) -> Decision:
    """The tiebreaker: it wins over two who disagree, and must agree with one who is alone."""
    alone = len(answers) == 1
    if not k.noted("verify"):
        return Batch(learn=(compared(k, answers),))
    ask = Ask(
        THIRD,
        spec.tiebreaker,
        role="verify" if alone else "tiebreak",
        apart=(PRIMARY, VERIFIER),
        show=None if alone else [answer.value for answer in answers],
    )
    match stand(k, ask):
        case Wait() | Batch() as decision:
            return decision
        case NotAsked(code="cost_budget_exceeded", reason=reason):
            return Done("error", code=NO_MONEY, reason=reason, details=both(answers))
        case NotAsked(reason=reason):
            return unresolved(answers, f"no tiebreaker could be asked: {reason}")
        case Closed(responses=()) as closed:
            return unresolved(answers, f"the tiebreaker did not answer: {closed.reason}")
        case Closed(responses=responses):
            if alone:
                return opined(k, spec, answers[0], responses[0])
            return agreed(k, responses[0], [responses[0]], **both(answers))


def compared(k: K, answers: list[Response]) -> dict[str, Any]:
    """The ``learn`` between the pair and the third: why one is asked."""
    if len(answers) == 1:
        return {"verify": "missing", "closed": closing(k)}
    score = agreement(k.query.fold, answers[0].value, answers[1].value)
    return {"verify": "disagree", "agreement": score, "closed": closing(k)}


def opined(k: K, spec: Verify, answer: Response, opinion: Response) -> Decision:
    """A second opinion: agreement or nothing."""
    match agree(k, spec, answer, opinion):
        case True:
            return agreed(k, answer, [answer, opinion])
        case False:
            return unresolved([answer, opinion], "the second opinion differs")
        case decision:
            return decision


def agreed(k: K, answer: Response, by: list[Response], **details: Any) -> Done:
    """The answer that stands, as sure as its giver was, with what its givers promised."""
    match obligations(k, by):
        case FoldProblem() as problem:
            return Done("error", code=problem.code, reason=problem.reason, details=details)
        case promised:
            fold = Folded(
                answer=answer.value,
                confidence=answer.confidence,
                responses=tuple(by),
                obligations=promised,
            )
            return fulfilled(fold, **details)


def unresolved(answers: list[Response], reason: str) -> Done:
    """The end without an answer, with all that was said: the primary's alone is never enough."""
    return Done("unresolved", code="disagreement", reason=reason, details=both(answers))


def both(answers: list[Response]) -> dict[str, Any]:
    """What was said, by whom, for the record of the end."""
    return {
        "disagreement": [
            {"call": a.call, "responder": a.responder, "value": a.value, "confidence": a.confidence}
            for a in answers
        ]
    }
