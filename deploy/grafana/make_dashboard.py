"""Writes dashboard.json, beside this file: `python deploy/grafana/make_dashboard.py`. Only the standard library.

A panel is a line of the rows below. Grafana reads the JSON alone; whoever changes a panel changes it here, and a
test compares both.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("dashboard.json")

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MAPPINGS = 'mapping=~"$mapping", source=~"$source"'
LOOP_LAG = "rate(esm_event_loop_lag_seconds_bucket[$__rate_interval])"
AWS_FAILED = 'rate(esm_aws_requests_total{outcome!="success"}[$__rate_interval])'
OURS = "and on (job, instance) esm_build_info"
COLUMNS = 24
HEIGHT = 8

Panel = dict[str, Any]


def total(name: str, *by: str, more: str = "") -> str:
    """A counter's rate a second, summed by these labels."""
    return f"sum by ({', '.join(by)}) (rate({name}{{{MAPPINGS}{more}}}[$__rate_interval]))"


def worst(name: str, *by: str, more: str = "") -> str:
    """The highest value of a gauge by these labels."""
    return f"max by ({', '.join(by)}) ({name}{{{MAPPINGS}{more}}})"


def added(name: str, *by: str, more: str = "") -> str:
    """The values of a gauge, added by these labels."""
    return f"sum by ({', '.join(by)}) ({name}{{{MAPPINGS}{more}}})"


def panel(
    kind: str, title: str, description: str, unit: str, *queries: tuple[str, str],
    width: int = 8, steps: tuple[float, ...] = (), **options: Any,
) -> Panel:  # fmt: skip
    """A panel of `queries`, each an expression with the legend of its series. `steps` are the values from which on
    it turns yellow and red.
    """
    colours = zip(("yellow", "red"), steps, strict=False)
    thresholds = [{"color": "green", "value": None}, *({"color": name, "value": at} for name, at in colours)]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "gridPos": {"h": HEIGHT, "w": width, "x": 0, "y": 0},
        "datasource": DATASOURCE,
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "thresholds": {"mode": "absolute", "steps": thresholds}},
            "overrides": [],
        },
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(queries)
        ],
    }


def lines(title: str, description: str, unit: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Values over time; thresholds are drawn as lines."""
    made = panel(
        "timeseries", title, description, unit, *queries,
        legend={"displayMode": "list", "placement": "bottom", "showLegend": True},
        tooltip={"mode": "multi", "sort": "desc"}, **more,
    )  # fmt: skip
    shown = "line" if more.get("steps") else "off"
    made["fieldConfig"]["defaults"]["custom"] = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 10,
        "showPoints": "never",
        "thresholdsStyle": {"mode": shown},
    }
    return made


def stacked(title: str, description: str, unit: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Parts of a whole over time."""
    made = lines(title, description, unit, *queries, **more)
    made["fieldConfig"]["defaults"]["custom"] |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
    return made


def heat(title: str, description: str, unit: str, histogram: str, **more: Any) -> Panel:
    """How a histogram is spread, over time."""
    query = f"sum by (le) (increase({histogram}_bucket{{{MAPPINGS}}}[$__rate_interval]))"
    made = panel(
        "heatmap", title, description, unit, (query, "{{le}}"),
        calculate=False, cellGap=1, color={"mode": "scheme", "scheme": "Blues", "steps": 64},
        yAxis={"axisPlacement": "left", "unit": unit}, tooltip={"mode": "single", "yHistogram": True},
        rowsFrame={"layout": "auto"}, **more,
    )  # fmt: skip
    made["targets"][0]["format"] = "heatmap"
    return made


def quantile(share: float, histogram: str) -> str:
    """A quantile of a histogram by mapping."""
    return f"histogram_quantile({share:g}, {total(f'{histogram}_bucket', 'mapping', 'le')})"


STATE = [
    panel(
        "stat", "Mappings by state", "Enabled is at work; Creating has not reached its source yet.", "short",
        (added("esm_mapping_state", "state"), "{{state}}"),
        width=6, colorMode="none", graphMode="none", textMode="value_and_name",
        reduceOptions={"calcs": ["lastNotNull"], "fields": "", "values": False},
    ),
    lines(
        "Lag", "Age of the last record handed to the function, of the worst shard. Streams only.", "s",
        (worst("esm_iterator_age_seconds", "mapping", more=', shard=""'), "{{mapping}}"), width=6, steps=(60, 300),
    ),
    lines(
        "Messages and records", "Read and done a second: where they part, something waits or fails.", "cps",
        (total("esm_polled_events_total", "mapping"), "{{mapping}} in"),
        (f"{total('esm_invoked_events_total', 'mapping')} - {total('esm_failed_invoke_events_total', 'mapping')}",
         "{{mapping}} done"),
        width=6,
    ),
    lines(
        "Failing", "Share of what is handed to the function that fails.", "percentunit",
        (f"{total('esm_failed_invoke_events_total', 'mapping')} / {total('esm_invoked_events_total', 'mapping')}",
         "{{mapping}}"),
        width=6, steps=(0.01, 0.05),
    ),
]  # fmt: skip

QUEUE = [
    lines(
        "In the queue", "Approximate, as SQS tells once a minute.", "short",
        (worst("esm_queue_messages", "mapping", "state"), "{{mapping}} {{state}}"),
    ),
    lines(
        "Oldest in our hands", "Age of the oldest message or record that was read and is not done: finds handlers "
        "that hang.", "s",
        (worst("esm_oldest_pending_seconds", "mapping"), "{{mapping}}"), steps=(300, 900),
    ),
    lines(
        "Received again", "Share of messages that were received before: failures, and handlers slower than the "
        "visibility timeout.", "percentunit",
        (f"{total('esm_redelivered_events_total', 'mapping')} / {total('esm_polled_events_total', 'mapping')}",
         "{{mapping}}"),
        steps=(0.05, 0.2),
    ),
    stacked(
        "Reads by what came of them", "Receive and GetRecords calls a second.", "cps",
        (total("esm_polls_total", "outcome"), "{{outcome}}"),
    ),
    lines(
        "Deleted, and what could not be", "Messages a second. Lost: done after their receipt ran out, so they are "
        "likely to run twice.", "cps",
        (total("esm_deleted_events_total", "mapping"), "{{mapping}} deleted"),
        (total("esm_delete_failures_total", "mapping"), "{{mapping}} refused"),
        (total("esm_visibility_lost_events_total", "mapping"), "{{mapping}} lost"),
    ),
    lines(
        "FIFO groups", "Blocked: a message of the group failed, and the rest of it waits.", "short",
        (added("esm_fifo_groups", "mapping", "state"), "{{mapping}} {{state}}"),
    ),
]  # fmt: skip

STREAMS = [
    panel(
        "status-history", "Lag by shard", "Age of the last record handed over, a row for each shard. Empty above "
        "Metrics.MaxShards shards.", "s",
        (worst("esm_iterator_age_seconds", "mapping", "shard", more=', shard!=""'), "{{mapping}} {{shard}}"),
        width=12, steps=(60, 300), rowHeight=0.9, showValue="never",
        legend={"displayMode": "list", "placement": "bottom", "showLegend": True},
    ),
    lines(
        "Blocked shards", "How long the batch at the head of the worst shard has been failing.", "s",
        (worst("esm_shard_blocked_seconds", "mapping", more=', shard=""'), "{{mapping}}"),
        width=6, steps=(60, 300),
    ),
    stacked(
        "Shards by state", "waiting_parent: its parents are not done. leased: may be read and is not.", "short",
        (added("esm_shards", "state"), "{{state}}"), width=6,
    ),
    lines(
        "Behind the newest record", "As Kinesis tells; DynamoDB does not.", "s",
        (worst("esm_behind_latest_seconds", "mapping", more=', shard=""'), "{{mapping}}"),
        width=6, steps=(60, 300),
    ),
    lines(
        "Leases", "Rows of shards that a process holds, and rows lost to somebody else a second.", "short",
        (f"sum by (instance) (esm_leases_held{{{MAPPINGS}}})", "{{instance}} held"),
        (total("esm_lease_events_total", "instance", more=', event="lost"'), "{{instance}} lost"), width=6,
    ),
    lines(
        "Positions", "99th percentile of the time of a durable write.", "s",
        (quantile(0.99, "esm_checkpoint_duration_seconds"), "{{mapping}}"), width=6, steps=(0.25, 1),
    ),
    lines(
        "Positions not written, records never read", "Each should be 0. A gap is lost data.", "cps",
        (total("esm_checkpoints_total", "mapping", more=', outcome="error"'), "{{mapping}} not written"),
        (total("esm_gaps_total", "mapping", "reason"), "{{mapping}} gap: {{reason}}"), width=6,
    ),
]  # fmt: skip

BATCHES = [
    heat("Batch size", "Messages or records of a batch at its first dispatch.", "short", "esm_batch_events"),
    heat("Wait for a batch", "From its first record to its dispatch.", "s", "esm_batch_wait_seconds"),
    stacked(
        "Batches by what closed them", "BatchSize, the batching window, the bytes of an event, ...", "cps",
        (total("esm_batches_total", "trigger"), "{{trigger}}"),
    ),
]  # fmt: skip

HANDLER = [
    lines(
        "Handler time", "Quantiles over all outcomes, and what an invocation may take.", "s",
        *((quantile(share, "esm_invocation_duration_seconds"), f"{{{{mapping}}}} p{100 * share:g}")
          for share in (0.5, 0.95, 0.99)),
        (worst("esm_invocation_timeout_seconds", "mapping"), "{{mapping}} timeout"),
    ),
    lines(
        "In flight and limit", "Invocations that run, and how many may.", "short",
        (added("esm_inflight_invocations", "mapping"), "{{mapping}}"),
        (added("esm_concurrency_limit", "mapping"), "{{mapping}} limit"),
    ),
    stacked(
        "Failed attempts by error", "A batch that is tried again counts again.", "cps",
        (total("esm_invocation_errors_total", "mapping", "error"), "{{mapping}} {{error}}"),
    ),
    lines(
        "Tried again", "Batches a second that were kept and tried again, and that were cut into two.", "cps",
        (total("esm_retries_total", "mapping", "reason"), "{{mapping}} {{reason}}"),
        (total("esm_bisections_total", "mapping"), "{{mapping}} bisected"),
    ),
    lines(
        "Given up", "Records a second; dropped ones have no failure document.", "cps",
        (total("esm_discarded_events_total", "mapping", "reason"), "{{mapping}} {{reason}}"),
        (total("esm_dropped_events_total", "mapping"), "{{mapping}} dropped"),
    ),
    lines(
        "Failure documents", "Delivered, or refused after all tries, a second.", "cps",
        (total("esm_destination_deliveries_total", "mapping", "destination", "outcome"),
         "{{mapping}} {{destination}} {{outcome}}"),
    ),
]  # fmt: skip

PROCESS = [
    lines(
        "Event loop", "99th percentile of how late it runs what is due: a handler blocks it, or the CPU is short.",
        "s",
        (f"histogram_quantile(0.99, sum by (instance, le) ({LOOP_LAG}))", "{{instance}}"),
        width=6, steps=(0.1, 0.25),
    ),
    lines(
        "AWS calls that failed", "A second, after no retry of ours.", "cps",
        (f"sum by (service, operation, outcome) ({AWS_FAILED}) > 0", "{{service}} {{operation}} {{outcome}}"),
        width=6,
    ),
    lines(
        "CPU", "Cores used.", "short",
        (f"rate(process_cpu_seconds_total[$__rate_interval]) {OURS}", "{{instance}}"), width=6, steps=(0.7, 0.9),
    ),
    lines(
        "Memory", "Resident.", "bytes", (f"process_resident_memory_bytes {OURS}", "{{instance}}"), width=6,
    ),
]  # fmt: skip

ROWS = {
    "State": STATE,
    "Queues": QUEUE,
    "Streams": STREAMS,
    "Batches": BATCHES,
    "Handler": HANDLER,
    "Process": PROCESS,
}


def laid_out() -> list[Panel]:
    """Rows one below the other, panels from left to right, numbered."""
    placed: list[Panel] = []
    top = 0
    for title, panels in ROWS.items():
        placed.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
                "panels": [],
            }
        )
        top += 1
        left = 0
        for one in panels:
            width = one["gridPos"]["w"]
            if left + width > COLUMNS:
                left, top = 0, top + HEIGHT
            placed.append(one | {"gridPos": {"h": HEIGHT, "w": width, "x": left, "y": top}})
            left += width
        top += HEIGHT
    return [{"id": number, **one} for number, one in enumerate(placed, 1)]


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A choice of several, all of them at first."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def dashboard() -> dict[str, Any]:
    """The whole of it."""
    return {
        "uid": "esm-poller",
        "title": "poller",
        "description": "Event source mappings: state, queues, streams, batches, handlers, process.",
        "tags": ["poller", "sqs", "kinesis", "dynamodb"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "refresh": 1,
                },
                variable("source", "Source", "label_values(esm_mapping_info, source)"),
                variable("mapping", "Mapping", 'label_values(esm_mapping_info{source=~"$source"}, mapping)'),
            ]
        },
        "panels": laid_out(),
    }


def text() -> str:
    """What stands in the file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
