"""Ordinary Lambda handlers. One order in fifty fails now and then, one click in five hundred always."""

import base64
import json
import random
import time
from typing import Any


def orders(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Works a little, and reports what failed."""
    failed = []
    for record in event["Records"]:
        time.sleep(0.002)  # stands for the work
        if json.loads(record["body"])["number"] % 50 == 0 and random.random() < 0.5:  # noqa: S311 - a game
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


async def clicks(event: dict[str, Any], context: Any) -> None:
    """Fails for good on a bad record: its batch is halved until it is alone, then it goes to `clicks-failed`."""
    for record in event["Records"]:
        if json.loads(base64.b64decode(record["kinesis"]["data"]))["number"] % 500 == 0:
            raise ValueError("a click that nobody can read")
