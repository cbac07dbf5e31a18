"""The decisions: state machines and functions without I/O, clock, logging or global random."""
