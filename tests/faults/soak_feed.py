"""Whoever writes to the sources while the soak runs: steadily, straight to the server, and knows what it sent.

It also makes the streams change their shards: the table's roll over, those of the stream split and merge.
"""

import json
import random
import threading
import time
import urllib.request
from collections import defaultdict

from tests.faults.soak_world import World
from tests.faults.sources import Record

RATES = {"orders": 40, "pay": 20, "clicks": 40, "stock": 20}  # records a second
KEYS = {"orders": 1000, "pay": 25, "clicks": 60, "stock": 25}
EVERY = 0.5  # seconds between two writes
SKIPPED, FLAKY = 0.04, 0.02  # shares of the records
# Each one holds a lane of a stream up for all its retries, so there the share is smaller.
POISONED = {"orders": 0.01, "pay": 0.01, "clicks": 0.003, "stock": 0.003}
RESHARD_EVERY = 25.0  # seconds


class Feeder(threading.Thread):
    """Writes until `stop`; `sent` holds the records by source, and `error` what ended it too early."""

    def __init__(self, world: World, url: str, seed: int) -> None:
        super().__init__(name="feeder")
        self.sent: defaultdict[str, dict[int, Record]] = defaultdict(dict)
        self.reshardings = 0
        self.error: Exception | None = None
        self._world = world
        self._url = url
        self._chance = random.Random(f"feeder {seed}")
        self._ending = threading.Event()

    def stop(self) -> None:
        """Returns when all that was begun is written. Raises what went wrong."""
        self._ending.set()
        self.join()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        try:
            self._feed()
        except Exception as error:  # noqa: BLE001 - told where it is stopped
            self.error = error

    def _feed(self) -> None:
        began = time.monotonic()
        next_change = RESHARD_EVERY
        while not self._ending.wait(EVERY):
            seconds = time.monotonic() - began
            for name, rate in RATES.items():
                due = int(seconds * rate) - len(self.sent[name])
                records = [self._record(name, len(self.sent[name]) + n) for n in range(min(due, rate))]
                # before it is sent: what was written although an error was told is no stranger
                self.sent[name] |= {record.n: record for record in records}
                self._world.sources[name].send(records)
            if seconds > next_change:
                next_change += RESHARD_EVERY
                self._change_shards()

    def _record(self, name: str, n: int) -> Record:
        key = f"k{self._chance.randrange(KEYS[name])}"
        throw = self._chance.random()
        if throw < SKIPPED:
            return Record(n, key, "skip")
        if throw < SKIPPED + POISONED[name]:
            # a poison message holds its FIFO group up: it has one of its own
            return Record(n, f"poison{n}" if name == "pay" else key, "poison")
        return Record(n, key, "flaky" if throw > 1 - FLAKY else "ok")

    def _change_shards(self) -> None:
        self._roll_table()
        shards = self._world.stream.shards()
        open_shards = {
            key: int(one["HashKeyRange"]["StartingHashKey"])
            for key, one in shards.items()
            if "EndingSequenceNumber" not in one["SequenceNumberRange"]
        }
        in_order = sorted(open_shards, key=lambda key: open_shards[key])
        place = self._chance.randrange(len(in_order) - 1)
        if self.reshardings % 2:
            self._world.stream.merge(in_order[place], in_order[place + 1])
        else:
            self._world.stream.split(in_order[place])
        self.reshardings += 1

    def _roll_table(self) -> None:
        """What DynamoDB does every four hours."""
        table = self._world.sources["stock"].arn.split("/")[1]
        request = urllib.request.Request(
            self._url,
            json.dumps({"TableName": table}).encode(),
            {
                "X-Amz-Target": "DynamoDB_20120810.RollStream",
                "Content-Type": "application/x-amz-json-1.0",
                "Authorization": "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/dynamodb/aws4_request",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
