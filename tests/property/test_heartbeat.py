"""The heartbeat against a queue with a clock: what is held stays ours, and nothing else is ever extended."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from poller.core.heartbeat import LONGEST, Dropped, Extend, ExtendDone, HeartbeatMachine, Held, NotExtended
from poller.core.messages import Extended, Tick
from poller.core.model import Message


@dataclass
class Receipt:
    """What the queue knows of one delivery."""

    received_at: float
    visible_at: float


class World:
    """A queue that answers each Extend after `delay` seconds, and a main loop that believes the reports."""

    def __init__(self, visibility: int, delay: float) -> None:
        self.machine = HeartbeatMachine()
        self.visibility = visibility
        self.delay = delay
        self.now = 10.0
        self.queue: dict[str, Receipt] = {}
        self.held: dict[str, tuple[str, float]] = {}
        self.calls: list[tuple[float, Extend, float]] = []
        self.refuse = False
        self.number = 0

    def receive(self, message_id: str) -> None:
        self.number += 1
        receipt = f"r{self.number}"
        self.queue[receipt] = Receipt(self.now, self.now + self.visibility)
        lease_until = self.now + self.visibility * 0.9
        self.held[message_id] = (receipt, lease_until)
        self.step(
            Held((Message(message_id, receipt, None, 1, 0.0, 1, lease_until, {}, self.now),), self.visibility)
        )

    def drop(self, message_id: str) -> None:
        if message_id in self.held:
            del self.queue[self.held.pop(message_id)[0]]
        self.step(Dropped((message_id,)))

    def step(self, fact) -> None:
        for order in self.machine.handle(fact, self.now):
            match order:
                case Extend(entries, seconds):
                    assert 1 <= len(entries) <= 10
                    assert len({message_id for message_id, _ in entries}) == len(entries)
                    assert 1 <= seconds <= LONGEST
                    for message_id, receipt in entries:
                        assert self.held[message_id][0] == receipt, "extends what was dropped or replaced"
                    self.calls.append((self.now + self.delay, order, self.now))
                case Extended(ids, lease_until):
                    for message_id in ids:
                        receipt = self.held[message_id][0]
                        assert lease_until <= self.queue[receipt].visible_at, "reports more than the queue granted"
                        self.held[message_id] = (receipt, lease_until)
                case NotExtended(ids):
                    assert self.refuse or all(
                        self.now >= self.queue[self.held[one][0]].received_at + LONGEST / 2 for one in ids
                    )

    def answer(self, order: Extend, sent_at: float) -> None:
        refused: dict[str, str] = {}
        for message_id, receipt in order.entries:
            known = self.queue.get(receipt)
            if known is None or known.visible_at <= self.now:
                refused[message_id] = "MessageNotInflight"
            elif self.refuse:
                refused[message_id] = "InternalError"
            else:
                assert self.now + order.seconds <= known.received_at + LONGEST, "SQS refuses this"
                known.visible_at = self.now + order.seconds
        self.step(ExtendDone(order.entries, order.seconds, sent_at, refused))

    def run(self, until: float) -> None:
        """Lets everything happen that is due, in its order."""
        while True:
            tick = self.machine.deadline()
            answer = min(self.calls, key=lambda call: call[0], default=None)
            times = [time for time in (tick, answer[0] if answer else None) if time is not None]
            if not times or min(times) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            if answer is not None and answer[0] <= self.now:
                self.calls.remove(answer)
                self.answer(answer[1], answer[2])
            else:
                self.step(Tick())


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["receive", "drop", "wait"]), st.integers(0, 25), st.floats(0.0, 40.0)), max_size=60
)


@given(st.integers(2, 600), st.floats(0.0, 0.4), ACTIONS)
def test_what_is_held_never_becomes_visible(visibility: int, delay: float, actions):
    world = World(visibility, delay)
    for action, number, seconds in actions:
        if action == "receive":
            world.receive(f"m{number}")
        elif action == "drop":
            world.drop(f"m{number}")
        else:
            world.run(world.now + seconds)
        for receipt, lease_until in world.held.values():
            assert world.queue[receipt].visible_at > world.now
            assert lease_until > world.now, "the poller believes it lost a message that it holds"


@given(st.integers(2, 120), ACTIONS)
def test_an_outage_shorter_than_half_a_lease_loses_nothing(visibility: int, actions):
    world = World(visibility, delay=0.01)
    for action, number, _ in actions:
        if action == "receive":
            world.receive(f"m{number}")
        elif action == "drop":
            world.drop(f"m{number}")
    world.run(world.now + visibility)
    world.refuse = True
    world.run(world.now + visibility * 0.3)
    world.refuse = False
    world.run(world.now + 3 * visibility)
    assert len(world.machine) == len(world.held)
    for receipt, _ in world.held.values():
        assert world.queue[receipt].visible_at > world.now


@given(st.integers(600, LONGEST))
def test_the_longest_hold_comes_close_to_twelve_hours_and_ends(visibility: int):
    world = World(visibility, delay=0.1)
    world.receive("m")
    (receipt, _), begun = world.held["m"], world.now
    world.run(begun + LONGEST + visibility)
    assert len(world.machine) == 0
    assert begun + LONGEST - max(6, visibility * 0.1 + 1) <= world.queue[receipt].visible_at <= begun + LONGEST
