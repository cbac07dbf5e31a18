"""Promise 2: `kill -9` at any instant costs duplicates only."""

import json
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.acceptance import daemon

KILLS = 20
STANDARD = 3_500
FIFO = 1_500
GROUPS = 30

HANDLERS = '''
import json, os, pathlib

OUT = os.open(pathlib.Path(__file__).with_name("done.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def work(event, context):
    """Fails some, crashes now and then, and notes what it has done in one write a record."""
    failed, failed_groups = [], set()
    for record in event["Records"]:
        body = json.loads(record["body"])
        group = record["attributes"].get("MessageGroupId")
        first = record["attributes"]["ApproximateReceiveCount"] == "1"
        if body["kind"] == "crash" and first:
            raise RuntimeError("on purpose")
        if body["kind"] == "poison" or (body["kind"] == "flaky" and first) or (group and group in failed_groups):
            failed.append(record["messageId"])
            failed_groups.add(group)
            continue
        os.write(OUT, f"{group or '-'} {body['n']}\\n".encode())
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}
'''


def kind_of(number: int) -> str:
    if number % 211 == 0:
        return "poison"
    if number % 97 == 0:
        return "crash"
    return "flaky" if number % 23 == 0 else "ok"


def test_twenty_kills_lose_nothing_and_keep_order(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """GEN-2, GEN-5, FIFO-1, FIFO-5, SQS-25: handled or in the DLQ, each group's first successes in order."""
    client = sqs_client(embedded_aws)
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    print(f"seed {seed}")
    # a crash costs every message of its batch a receive, and so does a kill: the limit leaves room for both
    orders = daemon.make_queue(client, daemon.own("kill"), visibility=3, dead=30)
    pay = daemon.make_queue(client, daemon.own("kill") + ".fifo", visibility=3, dead=30)
    numbers = range(1, STANDARD + 1)
    daemon.send(client, orders["url"], [f'{{"n": {n}, "kind": "{kind_of(n)}"}}' for n in numbers])
    # a poison record blocks its group until the queue gives it up: let it be the last of its group
    kinds = ["poison" if n > FIFO - 3 else "flaky" if n % 23 == 0 else "ok" for n in range(1, FIFO + 1)]
    bodies = [f'{{"n": {n}, "kind": "{kind}"}}' for n, kind in enumerate(kinds, start=1)]
    daemon.send(client, pay["url"], bodies, [f"g{n % GROUPS}" for n in range(1, FIFO + 1)])
    daemon.write(
        tmp_path,
        *(
            {
                "Name": name,
                "EventSourceArn": queue["arn"],
                "FunctionName": "python:handlers:work",
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "Handler": {"TimeoutInSeconds": 3},
            }
            for name, queue in (("orders", orders), ("pay", pay))
        ),
        handlers=HANDLERS,
    )
    env = daemon.environment(embedded_aws)
    done = tmp_path / "done.txt"
    for _ in range(KILLS):
        with daemon.running(tmp_path, env) as victim:
            before = len(daemon.written(done))
            # somewhere in the work, not in the start-up: after a random number of records, or when all is done
            goal = before + chance.randrange(1, 400)
            patience = time.monotonic() + 3.0
            while len(daemon.written(done)) < goal and time.monotonic() < patience:
                assert victim.process.poll() is None, victim.output()
                time.sleep(0.002)
            victim.kill()
    # the rest in peace; poison records now exhaust their receives
    for queue in (orders, pay):
        policy = {"deadLetterTargetArn": daemon.arn_of(client, queue["dead"]), "maxReceiveCount": 3}
        client.set_queue_attributes(QueueUrl=queue["url"], Attributes={"RedrivePolicy": json.dumps(policy)})
    with daemon.running(tmp_path, env, "--drain") as last:
        assert last.wait(120) == 0, last.output()
    handled: dict[str, Counter[int]] = defaultdict(Counter)
    last_first: dict[str, int] = {}
    for line in daemon.written(done):
        group, number = line.split()
        seen = handled["-" if group == "-" else "fifo"]
        seen[int(number)] += 1
        if group != "-" and seen[int(number)] == 1:
            assert int(number) > last_first.get(group, 0), f"group {group} out of order at {number} (seed {seed})"
            last_first[group] = int(number)
    for key, queue, sent in (("-", orders, STANDARD), ("fifo", pay, FIFO)):
        dead = {int(json.loads(m["Body"])["n"]) for m in daemon.drain(client, queue["dead"])}
        lost = set(range(1, sent + 1)) - handled[key].keys() - dead
        assert not lost, f"lost {sorted(lost)[:20]} (seed {seed})"
        assert daemon.empty(client, queue["url"])
    assert handled["-"].keys() | handled["fifo"].keys(), "the handlers did work"
