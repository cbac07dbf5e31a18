"""The bytes that all mappings of a process may hold at once; one object, shared by their machines.

A mapping that holds nothing may always poll, so that one that holds much never stops another (GEN-9 in spirit).
"""


class ByteBudget:
    """Counts bytes taken and given back; it refuses nothing itself, the machines ask `has_room` before a poll."""

    def __init__(self, limit: int = 256 * 1024 * 1024) -> None:
        self.limit = limit
        self.used = 0

    @property
    def has_room(self) -> bool:
        """Whether another receive may be sent."""
        return self.used < self.limit

    def take(self, size: int) -> None:
        """Bytes came into our hands."""
        self.used += size

    def give_back(self, size: int) -> None:
        """Bytes left our hands."""
        self.used -= size
        assert self.used >= 0, "more bytes given back than taken"
