"""What must hold of those whom queries may ask, and of the schemas they may name (P7, P8)."""

from __future__ import annotations

import msgspec

from covend import functions
from covend.config.checker import Checker
from covend.config.errors import answers_no_chat, did_you_mean
from covend.config.queries import OWN, address_problems, lack
from covend.phylactery.canonical import NotCanonical


class QueryChecks(Checker):
    """The checks of responders, of who answers chat requests, and of schemas."""

    def chat(self) -> None:
        """Behind one name all soulstones answer chat requests, or none: else some fail (P8)."""
        roles = {role.name: role for role in self.box.role}
        for capability, names in self.box.serving().items():
            known = [self.stones[name] for name in names if name in self.stones]
            silent = [s for s in known if not s.chat]
            chatting = [s for s in known if s.chat and self.sound(self.path(s), "chat")]
            if not (silent and chatting):
                continue
            if capability in roles:
                place = self.path(roles[capability], "tiers")
            else:
                last = [stone for stone in known if capability in stone.serves][-1]
                place = self.path(last, "serves", last.serves.index(capability))
            self.report(
                place,
                f"{chatting[0].name!r} answers chat requests, {silent[0].name!r} does not (chat = "
                f"false), and one for {capability!r} may go to either; give each a name of its own",
            )

    def silent(self, capability: str) -> bool:
        """Whether nothing that is known to serve this answers chat requests."""
        known = [self.stones[n] for n in self.box.serving()[capability] if n in self.stones]
        return bool(known) and not any(stone.chat for stone in known)

    def responders(self) -> None:
        for entry in self.box.responder:
            at = self.path(entry)
            if not self.sound(at, "kind", "model", "function", "command", "url", "did"):
                continue
            if entry.name.startswith(OWN):
                self.report((*at, "name"), f"names that begin with {OWN} are the box's own models")
            if lacking := lack(entry):
                self.report(at, lacking[1])
            serving = self.box.serving()
            elsewhere = entry.endpoint is not None or not self.sound(at, "endpoint")
            local = entry.model if entry.kind == "llm" and not elsewhere else None
            if local is not None and local not in serving:
                hint = did_you_mean(local, serving)
                self.report(
                    (*at, "model"),
                    f"no soulstone of this box serves {local!r}{hint}; a model elsewhere "
                    "needs its 'endpoint'",
                )
            elif local is not None and self.silent(local):
                self.report((*at, "model"), answers_no_chat(local, self.box.answering()))
            if entry.function is not None and (problem := functions.problem(entry.function)):
                self.report((*at, "function"), problem)
            for key, problem in address_problems(entry):
                self.report((*at, key), problem)

    def schemas(self) -> None:
        for entry in self.box.schema:
            if not self.sound(self.path(entry), "json"):
                continue
            from covend.patterns.query.shape import (
                schema_problem,  # few boxes have any: it takes a while
            )

            try:
                problem = schema_problem(msgspec.json.decode(entry.json))
            except (msgspec.DecodeError, NotCanonical) as error:
                problem = str(error)
            if problem is not None:
                self.report(self.path(entry, "json"), f"is no JSON Schema: {problem}")
