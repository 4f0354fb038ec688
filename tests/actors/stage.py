"""What stands around the actor under test: other processes, neighbours, a store, a small box."""

from covend.config import Box, Coven, Device, Soulstone
from covend.phylactery.actor import Append, Query
from covend.phylactery.records import as_dict
from covend.runtime import NOPROC, Actor, ReplyError

MIB = 2**20


class StubWire:
    """The other processes: writes down what is sent to them, and ends them when told."""

    def __init__(self):
        self.sent = []
        self.watches = {}

    def tell(self, node, name, message, origin):
        self.sent.append((node, message))

    def ask(self, node, name, message, origin, answer):
        self.sent.append((node, message))

    def monitor(self, node, name, on_down):
        self.watches.setdefault(node, []).append(on_down)
        return lambda: self.watches[node].remove(on_down)

    def ends(self, node):
        for on_down in self.watches.pop(node, []):
            on_down(NOPROC)

    def to(self, node, kind):
        return [message for to, message in self.sent if to == node and isinstance(message, kind)]


class Ear(Actor):
    """A neighbour that writes down what it hears and answers what it was given to answer."""

    def __init__(self, log, answers=None):
        self.log = log
        self.answers = answers or {}

    def on_receive(self, message):
        self.log.append(message)
        answer = self.answers.get(type(message))
        return answer(message) if callable(answer) else answer


class Store(Actor):
    """The phylactery as a list; who holds the list sees what is durable."""

    def __init__(self, records):
        self.records = records

    def on_receive(self, message):
        match message:
            case Append():
                self.records.extend(
                    as_dict(entry, len(self.records) + place)
                    for place, entry in enumerate(message.records, 1)
                )
                return len(message.records)
            case Query():
                found = [
                    entry
                    for place, entry in enumerate(self.records, 1)
                    if message.kind in (None, entry["kind"])
                    and message.thread in (None, entry["thread"])
                    and place > message.after
                ]
                found = (found[::-1] if message.newest_first else found)[: message.limit]
                if not message.damaged and any("damaged" in entry for entry in found):
                    raise ReplyError("not read: the store is damaged")
                return found
        return None


def heard(log, kind):
    return [message for message in log if isinstance(message, kind)]


def small_box(gates=1, slots=2, **options):
    """Two covens on one device: ``a`` (with ``slots``) and ``b``; ``ext`` is shared."""

    def stone(name, port, **more):
        return Soulstone(name=name, endpoint=f"http://127.0.0.1:{port}", **more)

    memory = {"d": 40 * MIB}
    return Box(
        gates=gates,
        lexical_reserve=0,
        device=(Device(name="d", capacity=100 * MIB),),
        soulstone=(
            stone("a", 1, memory=memory, discipline="kinetic", slots=slots, serves=("small",)),
            stone("b", 2, memory={"d": 70 * MIB}, load_seconds=1.0),
            stone("ext", 3, authority="shared"),
        ),
        coven=(
            Coven(name="A", soulstones=("a",), devices=("d",)),
            Coven(name="B", soulstones=("b",), devices=("d",)),
        ),
        **options,
    )
