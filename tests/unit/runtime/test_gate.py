"""A gate lets so many in at once, and the others in their order."""

from poller.runtime.gate import Gate


def test_the_others_wait_in_their_order():
    gate, begun = Gate(2), []

    def begin(name: str) -> bool:
        begun.append(name)
        return True

    for name in "abcd":
        gate.enter(lambda name=name: begin(name))
    assert begun == ["a", "b"]
    gate.leave()
    assert begun == ["a", "b", "c"]
    gate.leave()
    gate.leave()
    gate.leave()
    gate.enter(lambda: begin("e"))
    gate.enter(lambda: begin("f"))
    gate.enter(lambda: begin("g"))
    assert begun == ["a", "b", "c", "d", "e", "f"]


def test_who_does_not_want_any_more_takes_no_place():
    """By the thousand, and without a call for each inside the call for the one before."""
    gate, begun = Gate(1), []
    gate.enter(lambda: False)
    gate.enter(lambda: begun.append("a") or True)
    for _ in range(5000):
        gate.enter(lambda: False)
    gate.enter(lambda: begun.append("b") or True)
    assert begun == ["a"]
    gate.leave()
    assert begun == ["a", "b"]
