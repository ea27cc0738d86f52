"""The alert rules, as Prometheus evaluates them: each fires when it should, and is silent when it should be."""

import subprocess

import pytest
import yaml
from alerts import ALERTS, RECORDS
from documentation import ROOT, table

RULES = ROOT / "manifests" / "grafana" / "rules.yaml"
SD = 'namespace="default",service="sd"'
OF_SD = {"namespace": "default", "service": "sd"}
LEADS = 'inflight_controller_leader{instance="c1"}', "1x60"
STANDS_BY = 'inflight_controller_leader{instance="c2"}', "0x60"
GATEWAY = f'inflight_requests{{{SD},state="queued",instance="g1"}}', "0x60"
STARTS = [
    (f'inflight_cold_start_seconds_bucket{{{SD},stage="total",instance="c1",le="{bound}"}}', f"{count}x60")
    for bound, count in (("30.0", 0), ("60.0", 10), ("+Inf", 10))
]


def flag(metric, values, instance="c1"):
    return f'{metric}{{{SD},instance="{instance}"}}', values


def outcomes(**rates):
    return [
        (f'gateway_requests_total{{{SD},instance="g1",reason="{name}"}}', f"0+{rate}x60")
        for name, rate in rates.items()
    ]


def quotes(kept, missed):
    return [
        (f'inflight_quote_hits_total{{{SD},instance="g1",hit="{name}"}}', f"0+{rate}x120")
        for name, rate in (("kept", kept), ("missed", missed))
    ]


# The alert, the series a minute apart, the minute at which it fires or is silent, and the labels with which it fires.
CASES = {
    "a count that is unknown for a while": (
        "InflightCountUnknown",
        [LEADS, flag("inflight_count_unknown", "0x5 1x20")],
        10,
        OF_SD,
    ),
    "a count that is unknown for a moment": (
        "InflightCountUnknown",
        [LEADS, flag("inflight_count_unknown", "0x5 1 0x20")],
        7,
        None,
    ),
    "a count that only the controller that stands by does not know": (
        "InflightCountUnknown",
        [LEADS, STANDS_BY, flag("inflight_count_unknown", "0x30"), flag("inflight_count_unknown", "1x30", "c2")],
        20,
        None,
    ),
    "a request that waits for twice a cold start": (
        "InflightQueueOlderThanAColdStart",
        [*STARTS, flag("gateway_oldest_wait_seconds", "0x5 120x20", "g1")],
        10,
        OF_SD,
    ),
    "a request that waits for as long as a cold start": (
        "InflightQueueOlderThanAColdStart",
        [*STARTS, flag("gateway_oldest_wait_seconds", "55x20", "g1")],
        10,
        None,
    ),
    "a request that waits for long while no start was measured": (
        "InflightQueueOlderThanAColdStart",
        [flag("gateway_oldest_wait_seconds", "301x20", "g1")],
        10,
        OF_SD,
    ),
    "a request that waits for a while, and no start was measured": (
        "InflightQueueOlderThanAColdStart",
        [flag("gateway_oldest_wait_seconds", "299x20", "g1")],
        10,
        None,
    ),
    "the maximum, and requests wait": (
        "InflightAtMaxAndWaiting",
        [LEADS, flag("inflight_at_max", "1x20"), (GATEWAY[0], "3x20")],
        10,
        OF_SD,
    ),
    "the maximum, and nothing waits": (
        "InflightAtMaxAndWaiting",
        [LEADS, flag("inflight_at_max", "1x20"), GATEWAY],
        10,
        None,
    ),
    "requests wait below the maximum": (
        "InflightAtMaxAndWaiting",
        [LEADS, flag("inflight_at_max", "0x20"), (GATEWAY[0], "3x20")],
        10,
        None,
    ),
    "another writer": ("InflightForeignWriter", [LEADS, flag("inflight_foreign_writer", "1x20")], 10, OF_SD),
    "no other writer": ("InflightForeignWriter", [LEADS, flag("inflight_foreign_writer", "0x20")], 10, None),
    "two controllers of which none leads": (
        "InflightNobodyLeads",
        [STANDS_BY, ('inflight_controller_leader{instance="c1"}', "0x20")],
        10,
        {},
    ),
    "no controller at all": ("InflightNobodyLeads", [GATEWAY], 10, {}),
    "one controller that leads": ("InflightNobodyLeads", [LEADS, STANDS_BY], 10, None),
    "writes that fail, in a series that begins with the first": (
        "InflightWritesRefused",
        [(f'inflight_controller_writes_total{{{SD},result="error",instance="c1"}}', "_x5 1+1x20")],
        15,
        OF_SD,
    ),
    "one write that failed": (
        "InflightWritesRefused",
        [(f'inflight_controller_writes_total{{{SD},result="error",instance="c1"}}', "_x5 1x30")],
        15,
        None,
    ),
    "writes that succeed": (
        "InflightWritesRefused",
        [(f'inflight_controller_writes_total{{{SD},result="ok",instance="c1"}}', "0+1x30")],
        15,
        None,
    ),
    "one request in fifty that is refused": (
        "InflightRequestsRefused",
        outcomes(served=49, queue_full=1),
        15,
        OF_SD,
    ),
    "clients that disconnect": ("InflightRequestsRefused", outcomes(served=10, abandoned_queued=5), 15, None),
    "no requests at all": ("InflightRequestsRefused", outcomes(served=0, queue_full=0), 15, None),
    "replicas without a place": (
        "InflightPodsWithoutAPlace",
        [LEADS, flag("inflight_unplaced_replicas", "0x5 2x20")],
        15,
        OF_SD,
    ),
    "a replica that waits for its place for a moment": (
        "InflightPodsWithoutAPlace",
        [LEADS, flag("inflight_unplaced_replicas", "0x5 2x3 0x20")],
        15,
        None,
    ),
    "scale-downs without confirmation": (
        "InflightScaleDownFails",
        [(f'inflight_drain_problems_total{{{SD},rule="drainUnconfirmed",instance="c1"}}', "_x5 1+1x30")],
        20,
        OF_SD,
    ),
    "pods that become busy again": (
        "InflightScaleDownFails",
        [(f'inflight_drain_problems_total{{{SD},rule="podsBusy",instance="c1"}}', "_x5 1+1x30")],
        20,
        None,
    ),
    "every third promise that is broken": ("InflightQuotesMissed", quotes(2, 1), 90, OF_SD),
    "every tenth promise that is broken": ("InflightQuotesMissed", quotes(9, 1), 90, None),
    "few promises": ("InflightQuotesMissed", quotes(0.1, 0.1), 90, None),
    "no gateway": ("InflightGatewayDown", [LEADS], 10, {}),
    "a gateway": ("InflightGatewayDown", [GATEWAY], 10, None),
    "a gateway without memory": (
        "InflightGatewayOverloaded",
        [('gateway_overloaded{instance="g1"}', "1x20")],
        10,
        {"instance": "g1"},
    ),
    "a gateway with memory": ("InflightGatewayOverloaded", [('gateway_overloaded{instance="g1"}', "0x20")], 10, None),
}


def fired(alert, labels):
    """Give an alert as it fires with these labels."""
    texts = {"summary": alert.summary, "description": alert.action}
    for name, value in labels.items():
        texts = {key: text.replace(f"{{{{ $labels.{name} }}}}", value) for key, text in texts.items()}
    return {"exp_labels": {**labels, "severity": alert.severity}, "exp_annotations": texts}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent():
    fires = {name for name, _, _, labels in CASES.values() if labels is not None}
    silent = {name for name, _, _, labels in CASES.values() if labels is None}
    assert fires == silent == {alert.name for alert in ALERTS}


def test_every_alert_and_every_recorded_series_stands_in_the_page():
    page = "how-to/dashboards.md"
    assert [row[0].strip("`") for row in table(page, "Alerts", "alert")] == [alert.name for alert in ALERTS]
    assert [row[0].strip("`") for row in table(page, "Recorded series", "series")] == list(RECORDS)


@pytest.mark.program
@pytest.mark.real_time
def test_the_alerts_fire_and_are_silent_as_they_should(promtool_binary, tmp_path):
    alerts = {alert.name: alert for alert in ALERTS}
    tests = [
        {
            "name": case,
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in inputs],
            "alert_rule_test": [
                {
                    "alertname": name,
                    "eval_time": f"{minute}m",
                    "exp_alerts": [] if labels is None else [fired(alerts[name], labels)],
                }
            ],
        }
        for case, (name, inputs, minute, labels) in CASES.items()
    ]
    file = tmp_path / "alerts.test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    for command in (["check", "rules", "--lint=all", "--lint-fatal", RULES], ["test", "rules", file]):
        done = subprocess.run([promtool_binary, *command], capture_output=True, text=True)  # noqa: PLW1510
        assert done.returncode == 0, done.stdout + done.stderr
