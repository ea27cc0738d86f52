"""The options that the stories about Knative's autoscaler begin with: a target of one request per replica."""

from dataclasses import asdict

from algorithms.kpa_core import KpaOptions
from algorithms.kpa_scale import ScaleOptions

START_S = 1_893_456_000.0

DECISION = KpaOptions(
    target=1.0,
    total=1.0,
    panic_threshold=2.0,
    max_scale_up_rate=1000.0,
    max_scale_down_rate=2.0,
    target_burst_capacity=0.0,
    stable_window_s=60,
    panic_window_s=6,
    scale_down_delay_s=0,
    activation_scale=0,
    reachable=True,
    aggregation="linear",
)

SCALE = ScaleOptions(
    **asdict(DECISION),
    min_scale=0,
    max_scale=0,
    initial_scale=1,
    enable_scale_to_zero=True,
    scale_to_zero_grace_period_s=30.0,
    scale_to_zero_pod_retention_period_s=0.0,
    progress_deadline_s=600.0,
)


def decide_at(core, now_s, ready):
    """Evaluate the windows of a core as of a time."""
    return core.decider.decide(now_s, ready, *core.averages(now_s))
