"""Every `action` that a log line of poller may have: its levels, its fields, and what it means.

Programs rely on these words, so the list is closed: a test holds all log calls of the package to it, and
deploy/docs/logs.md, which is this list for people. A word may be added, none may change its meaning.
"""

from typing import Final, NamedTuple

COMMON: Final = ("action", "mapping", "untold", "trace_id", "span_id", "error", "exception")
"""Fields that any line may have: which mapping it is about, how many lines of the same failure were left out since
the last one, the span in which it was written, and the error behind it."""


class Action(NamedTuple):
    """`level` is the lowest and most usual one first; `fields` are those beside COMMON."""

    level: tuple[str, ...]
    fields: tuple[str, ...]
    meaning: str


_DEBUG: Final = ("debug",)
_INFO: Final = ("info",)
_WARNING: Final = ("warning",)
_ERROR: Final = ("error",)
_BATCH: Final = ("batch", "events", "shard", "first_sequence", "last_sequence")
_ATTEMPT: Final = (*_BATCH, "outcome", "failed")

ACTIONS: Final[dict[str, Action]] = {
    # --- the process ---
    "listening": Action(_INFO, (), "A listener is there; the text has its address."),
    "advice": Action(_WARNING, (), "The configuration is legal, and something about it is likely to surprise."),
    "stopping": Action(_INFO, (), "A signal to stop has come: nothing new is received, running handlers finish."),
    "ending_at_once": Action(_WARNING, (), "A second signal: the process ends where it stands."),
    "stopped": Action(_INFO, (), "The process ends with nothing left in hand."),
    "exit_forced": Action(
        _WARNING,
        ("threads",),
        "All is done, and something keeps the process (these threads, atexit): it is ended.",
    ),
    "config_reloaded": Action(
        _INFO, ("stopped", "started"), "The file was read again; these mappings were stopped and started."
    ),
    "config_refused": Action(_ERROR, (), "The file was read again and not taken: the old configuration goes on."),
    "config_needs_restart": Action(_WARNING, (), "A changed setting counts only after the next start."),
    "reload_bug": Action(_ERROR, (), "A reload failed through a bug of ours; the mappings go on."),
    "many_mappings": Action(_WARNING, (), "So many mappings that a scrape of the metrics becomes large."),
    "event_loop_blocked": Action(
        _WARNING, ("seconds", "at"), "A handler blocks the event loop, at this line; all else in it waits."
    ),
    "event_loop_unblocked": Action(_WARNING, ("seconds",), "The event loop goes on after so long a standstill."),
    "loop_blocked": Action(_WARNING, ("seconds",), "The mapping's handler blocks the event loop."),
    "side_thread_stuck": Action(_ERROR, (), "The thread of listeners and heartbeats does not end; it is left."),
    "side_thread_died": Action(_ERROR, (), "That thread ended: a bug of ours."),
    "side_task_failed": Action(_ERROR, (), "Something in that thread failed: a bug of ours."),
    "request_failed": Action(_ERROR, (), "A request to a listener failed through a bug of ours."),
    "control_api_failed": Action(_WARNING, (), "A call of the control API failed; its answer says so too."),
    "control_bug": Action(_ERROR, (), "A change of a mapping failed through a bug of ours."),
    "control_store_failed": Action(
        _WARNING, ("uuid",), "A mapping is deleted, but not in the store yet; it is tried again."
    ),
    "manager_out_of_reach": Action(_WARNING, (), "The service manager cannot be told how the process is."),
    "output_lost": Action(_WARNING, (), "What handlers print cannot be written any more, and is dropped."),
    "tracing_failed": Action(_WARNING, ("error_type",), "The program's tracer raised; the batch went on without."),
    # --- the life of a mapping ---
    "state_changed": Action(_INFO, ("state",), "The mapping is in another state, one of AWS's seven."),
    "mapping_created": Action(_INFO, ("uuid",), "Made through the control API."),
    "mapping_updated": Action(_INFO, ("uuid",), "Changed through the control API."),
    "mapping_deleted": Action(_INFO, ("uuid",), "Deleted through the control API."),
    "mapping_renamed": Action(
        _WARNING, ("uuid",), "The file has its name: this mapping of the control API has another one now."
    ),
    "mapping_held": Action(
        _ERROR,
        ("uuid",),
        "A mapping of the control API does not run, for example because the file has its source.",
    ),
    "requested": Action(_DEBUG, ("request",), "Its owner wants it to stop, pause, resume or drain."),
    "handler_unusable": Action(_ERROR, (), "Its handler cannot be called, so the mapping does not start."),
    "source_unavailable": Action(_WARNING, ("problem",), "Its source cannot be had; it is tried again."),
    "crashed": Action(_ERROR, (), "Its driver ended through a bug of ours; it is started again."),
    "restarted": Action(_WARNING, (), "Its driver was started again after a crash."),
    "cut_off": Action(_WARNING, ("events",), "The stop deadline passed with these in hand; they come again."),
    "finished": Action(("info", "warning"), ("abandoned",), "It has ended, drained or stopped."),
    # --- reading a queue ---
    "poll_failed": Action(_WARNING, ("problem",), "ReceiveMessage failed; it is tried again."),
    "poll_recovered": Action(_INFO, ("failures", "seconds"), "It works again."),
    "describe_failed": Action(_WARNING, (), "GetQueueAttributes failed; it is tried again."),
    # --- reading a stream ---
    "shard_started": Action(("info", "debug"), ("shard", "position"), "A shard is read, from this position."),
    "shard_ended": Action(_INFO, ("shard", "children"), "All of a shard is done; its children follow."),
    "shard_failed": Action(_WARNING, ("shard",), "A shard cannot be begun now; it is tried again."),
    "shard_crashed": Action(_ERROR, ("shard",), "A shard's driver ended through a bug of ours; it starts again."),
    "fetch_failed": Action(_WARNING, ("shard", "problem"), "GetRecords failed; it is tried again."),
    "fetch_recovered": Action(_INFO, ("shard", "failures", "seconds"), "All shards can be read again."),
    "position_renewed": Action(_DEBUG, ("shard", "problem"), "An iterator was too old, and is got anew."),
    "discovery_failed": Action(_WARNING, (), "The list of shards cannot be had; it is tried again."),
    "lease_lost": Action(_WARNING, ("shard",), "Another worker owns the shard; it is not read here any more."),
    "checkpoint_failed": Action(_WARNING, ("shard",), "A position was not written; it is written again."),
    "checkpoint_recovered": Action(_INFO, ("shard",), "All positions can be written again."),
    "alone": Action(
        _WARNING, ("shard",), "The last attempt of a batch that seems to end the process runs with no other."
    ),
    "gap": Action(
        _ERROR, ("shard", "position", "resumed_at"), "Records were trimmed before they were read: lost."
    ),
    "shards_lost": Action(_ERROR, ("shards", "remade"), "Shards are gone with what was not read of them: lost."),
    # --- what becomes of a batch ---
    "batch_done": Action(_DEBUG, (*_BATCH, "message_ids"), "A batch succeeded."),
    "batch_failed": Action(
        _WARNING, (*_ATTEMPT, "message_ids"), "A batch failed, or some of it; `outcome` is the metric's word."
    ),
    "batch_retried": Action(
        _WARNING, (*_ATTEMPT, "retry_in"), "A batch failed and is invoked again in so many seconds."
    ),
    "bisected": Action(_WARNING, _ATTEMPT, "A batch failed and is tried again as two halves."),
    "discarded": Action(
        ("warning", "error"),
        (*_BATCH, "condition", "invocations", "destination", "document"),
        "Records of a stream were given up. At error the destination did not take their failure document, which"
        " is in the line.",
    ),
    "abandoned": Action(_WARNING, ("shard", "abandoned"), "A shard ended with these still with the handler."),
    "delete_failed": Action(_WARNING, ("events", "message_ids"), "Messages were not deleted; it is tried again."),
    "release_failed": Action(
        _WARNING, ("events", "reason"), "Messages were not given back; they return by their visibility timeout."
    ),
    "lease_lapsed": Action(
        _WARNING, ("events", "message_ids"), "Messages were let go, because their visibility timeout was over."
    ),
    "visibility_lost": Action(
        _WARNING, ("events",), "Messages were done only after their visibility timeout: likely to run twice."
    ),
    "extension_failed": Action(_WARNING, ("events",), "The heartbeat did not extend these visibility timeouts."),
    "heartbeat_failed": Action(_WARNING, (), "The heartbeat itself failed; it is tried again."),
    # --- handlers ---
    "handler_error": Action(
        _WARNING, ("error_type", "at"), "A handler raised, at this line of the user's; with its traceback."
    ),
    "record_failed": Action(
        _WARNING, ("record", "error_type", "at"), "poller.each: the function raised for this record."
    ),
    "handler_output": Action(_INFO, ("pid",), "A line that a worker or a program of `exec:` has printed."),
    "worker_unusable": Action(_WARNING, ("failures",), "A worker or a program of `exec:` cannot be started."),
    "worker_ended": Action(_WARNING, ("pid",), "One ended without being told to, or had to be ended."),
    "handler_left_behind": Action(
        _WARNING, ("invocations",), "Invocations ignore their cancellation and are left behind at the end."
    ),
    "invocation_bug": Action(
        _WARNING, (), "An invocation failed through a bug of ours; its batch is tried again."
    ),
}
