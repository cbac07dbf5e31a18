"""The least that counting can cost: the additions of the metrics' list for a batch that succeeds, no more.

No log line, no liveness, no failure, no function called beside bisect; everything is looked up before. It is there
to show which part of the cost of poller/telemetry.py is the list's and which is ours.
"""

from bisect import bisect_left

from poller.core.messages import Deleted, InvocationOutcome, Invoke, Receive, Received, Settled
from poller.metrics_stats import PollOutcome


def words(telemetry):
    """What to do with each event and command, in the place of Telemetry.words."""
    stats, records, success = telemetry._stats, PollOutcome.RECORDS, InvocationOutcome.SUCCESS
    polls = {}
    poll, size, bytes_, wait, age, took = (
        stats.poll_duration,
        stats.batch_events,
        stats.batch_bytes,
        stats.batch_wait,
        stats.event_age,
        stats.invocation_duration[success],
    )
    poll_counts, size_counts, bytes_counts, wait_counts, age_counts, took_counts = (
        one.counts for one in (poll, size, bytes_, wait, age, took)
    )
    poll_bounds, size_bounds, bytes_bounds, wait_bounds, age_bounds, took_bounds = (
        one.bounds for one in (poll, size, bytes_, wait, age, took)
    )

    def receive(command, now):
        polls[command.poll] = now.mono

    def received(event, now):
        seconds = now.mono - polls.pop(event.poll, now.mono)
        poll_counts[bisect_left(poll_bounds, seconds)] += 1
        poll.total += seconds
        stats.last_poll_at = now.wall
        stats.polls[records] += 1
        stats.polled_events += len(event.messages)
        stats.polled_bytes += event.size

    def invoke(command, now):
        batch = command.batch
        count = len(batch.messages)
        stats.invoked_events += count
        stats.batches[batch.trigger] += 1
        size_counts[bisect_left(size_bounds, count)] += 1
        size.total += count
        bytes_counts[bisect_left(bytes_bounds, batch.size)] += 1
        bytes_.total += batch.size
        waited = now.mono - batch.opened_at
        wait_counts[bisect_left(wait_bounds, waited)] += 1
        wait.total += waited
        sent = [message.sent_at for message in batch.messages if message.receive_count == 1]
        sent.sort()
        age.total += now.wall * count - sum(sent)
        place = bisect_left(age_bounds, now.wall - sent[-1])
        assert now.wall - sent[0] <= age_bounds[place], "the benchmark's messages are of one age"
        age_counts[place] += count

    def settled(command, now):
        seconds = telemetry._seconds or 0.0
        took_counts[bisect_left(took_bounds, seconds)] += 1
        took.total += seconds
        stats.invocations[command.outcome] += 1
        stats.succeeded_events += len(command.succeeded)
        stats.last_success_at = now.wall

    def deleted(event, now):
        stats.deleted_events += len(event.messages)

    return {Receive: receive, Received: received, Invoke: invoke, Settled: settled, Deleted: deleted}
