"""AWS away for a minute, in four ways: the daemon lives, says so, and goes on when it is back."""

import time
from pathlib import Path
from typing import Any

from tests.acceptance import daemon
from tests.faults.proxy import in_front_of
from tests.faults.rules import BlackHole, Broken, Rule, Throttle

HANDLERS = """
async def good(event, context):
    return None
"""
EACH = 15.0  # seconds of each way to be away


def test_a_minute_without_aws(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """API-16, SQS-26: nothing lost, /livez names the mapping after its deadline, work resumes within 5 s."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("away"))
    with in_front_of(embedded_aws) as proxy:
        daemon.write(
            tmp_path,
            {"Name": "orders", "EventSourceArn": queue["arn"], "FunctionName": "python:handlers:good"},
            handlers=HANDLERS,
        )
        with daemon.running(tmp_path, daemon.environment(proxy.url)) as running:
            running.ready()

            def deleted() -> float:
                return running.metric("esm_deleted_events_total")

            daemon.send(client, queue["url"], [str(n) for n in range(100)])
            daemon.wait_for(lambda: deleted() == 100, "the work before")  # and no answer is on its way
            assert running.get("/livez")[0] == 200
            seconds = running.metric("process_cpu_seconds_total")
            begin = time.monotonic()
            complaints = []
            for fault in (None, BlackHole(), Broken(), Throttle()):
                proxy.be(*([] if fault is None else [Rule(fault)]), away=fault is None)
                end = time.monotonic() + EACH
                while time.monotonic() < end:  # the outage itself is what is waited for
                    code, text = running.get("/livez")
                    if code == 503:
                        complaints.append(text)
                    time.sleep(0.5)
            used = running.metric("process_cpu_seconds_total") - seconds
            lasted = time.monotonic() - begin
            daemon.send(client, queue["url"], [str(n) for n in range(50)])
            proxy.be()
            back = time.monotonic()
            daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "the work afterwards")
            resumed = time.monotonic() - back
            daemon.wait_for(lambda: running.get("/livez")[0] == 200, "health")
            daemon.wait_for(lambda: deleted() == 150, "the count of all, none twice")
            assert any("orders" in text for text in complaints), "no /livez named the mapping"
            print(f"cpu {used / lasted:.1%} while away, resumed after {resumed:.1f} s")
            # the scrapes of this test are in the figure; 5 % is the promise for the daemon alone
            assert used / lasted < 0.05
            assert resumed < 5.0
            assert 4 <= len(running.lines()) < 200, "an outage is told, and does not flood the log"
            running.signal(15)
            assert running.wait() == 0
