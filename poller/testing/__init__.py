"""An AWS for tests: state machines with the real semantics and a clock that you move, in process or over HTTP."""
