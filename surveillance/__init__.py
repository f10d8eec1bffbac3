"""Early-warning detectors: counts in as arrays, signals out as arrays. Pure numpy and scipy, no I/O.

Every detector takes ``counts`` of shape (time, series) -- a missing report is NaN, never zero -- and returns a
:class:`surveillance.result.Detection` of shape (timepoint, series). docs/early-warning/ has a page per detector.
"""
from surveillance.clusters import ClusterRule, by_group, cluster_rule, hours_left
from surveillance.control_charts import bayes, cdc, cusum, ewma, glr, rki
from surveillance.ears import ears
from surveillance.farrington import farrington, farrington_flexible
from surveillance.nowcast import Nowcast, nowcast, reporting_triangle
from surveillance.percentile import fixed_threshold, moving_percentile, never_seen, single_case
from surveillance.pooled import pooled, pooled_streams
from surveillance.result import Detection, State
from surveillance.scan import Cluster, Scan, space_time_scan

__all__ = [
    "Cluster", "ClusterRule", "Detection", "Nowcast", "Scan", "State", "bayes", "by_group", "cdc", "cluster_rule",
    "cusum", "ears", "ewma", "farrington", "farrington_flexible", "fixed_threshold", "glr", "hours_left",
    "moving_percentile", "never_seen", "nowcast", "pooled", "pooled_streams", "reporting_triangle", "rki",
    "single_case", "space_time_scan",
]
