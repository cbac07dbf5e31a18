"""The bytes that all mappings of a process may hold at once; one object, shared by their machines.

A mapping that holds nothing may always poll, so that one that holds much never stops another (GEN-9 in spirit).
"""


class ByteBudget:
    """Counts bytes taken and given back; it refuses nothing itself, the machines ask `has_room` before a poll."""

    def __init__(self, limit: int = 256 * 1024 * 1024) -> None:
        self.limit = limit
        self.used = 0
        self.has_room = limit > 0
        """Whether another receive may be sent; to be read only."""

    def take(self, size: int) -> None:
        """Bytes came into our hands."""
        self.used += size
        self.has_room = self.used < self.limit

    def give_back(self, size: int) -> None:
        """Bytes left our hands."""
        self.used -= size
        self.has_room = self.used < self.limit
        assert self.used >= 0, "more bytes given back than taken"
