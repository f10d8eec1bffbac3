"""Cluster rules of schools, kindergartens and villages, and the clock of a legal reporting deadline.

The thresholds are those of the public-health-event norms as collected in docs/early-warning/clusters.md; they are data to
be dated and overridden by the rules of the county, the functions here only count.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surveillance.percentile import fixed_threshold
from surveillance.result import Detection, as_counts


@dataclass(frozen=True)
class ClusterRule:
    """At least ``cases`` of ``disease`` in one ``unit`` (class, institution) within ``days`` days."""

    disease: str
    unit: str
    days: int
    cases: int


# Clusters to be looked into (prefecture guidance of 2023-09-11).
ATTENTION = (
    ClusterRule("hand_foot_mouth", "institution", 7, 5),
    ClusterRule("hand_foot_mouth", "class", 7, 2),
    ClusterRule("norovirus", "institution", 7, 10),
    ClusterRule("influenza_like_illness", "institution", 7, 10),
    ClusterRule("scarlet_fever", "institution", 7, 10),
    ClusterRule("rubella", "institution", 7, 5),
    ClusterRule("mumps", "institution", 7, 5),
    ClusterRule("varicella", "institution", 7, 5),
    ClusterRule("acute_haemorrhagic_conjunctivitis", "institution", 7, 3),
    ClusterRule("bacillary_amoebic_dysentery", "institution", 3, 10),
    ClusterRule("measles", "institution", 10, 2),
    ClusterRule("dengue", "institution", 14, 3),
)
# Public-health events to be reported (national norm of 2006; deaths and food poisoning are not counted here).
EVENT = (
    ClusterRule("mumps", "institution", 7, 10),
    ClusterRule("varicella", "institution", 7, 10),
    ClusterRule("scarlet_fever", "institution", 7, 10),
    ClusterRule("infectious_diarrhoea", "institution", 7, 20),
    ClusterRule("hepatitis_a_e", "institution", 7, 5),
    ClusterRule("typhoid", "institution", 7, 5),
    ClusterRule("influenza_like_illness", "institution", 7, 30),
)


def cluster_rule(counts, rule: ClusterRule, *, timepoints=None) -> Detection:
    """Alarm for every unit that reaches the rule; ``counts`` (day, unit) of its disease, otherwise as fixed_threshold."""
    return fixed_threshold(counts, rule.cases, rule.days, timepoints=timepoints)


def by_group(counts, group) -> tuple[np.ndarray, np.ndarray]:
    """Sum the columns of ``counts`` (time, unit) by ``group`` (unit,), for example classes by school.

    Returns (groups, sums (time, group)). A missing count adds nothing; a sum is missing where every member is.
    """
    y = as_counts(counts)
    labels, index = np.unique(np.asarray(group), return_inverse=True)
    if index.shape != (y.shape[1],):
        raise ValueError("group needs one entry per column of counts")
    member = np.eye(len(labels))[index]
    known = (~np.isnan(y)).astype(float) @ member > 0
    return labels, np.where(known, np.nan_to_num(y) @ member, np.nan)


def hours_left(known_at, reported_at, now, hours: float) -> tuple[np.ndarray, np.ndarray]:
    """Hours until a report is due, and whether it is or was late.

    ``known_at``, ``reported_at`` (NaT = not yet) and ``now`` are datetimes; ``hours`` is the legal period (2 for class A
    and what is managed as such, 24 for other B and C). For a report already made the hours are those it had to spare;
    negative hours are late. Raises ValueError for a report made before the case was known or a missing ``known_at``.
    """
    known = np.asarray(known_at, "datetime64[s]")
    reported = np.asarray(reported_at, "datetime64[s]")
    if np.isnat(known).any():
        raise ValueError("known_at must not be missing")
    if (reported < known).any():
        raise ValueError("a report was made before the case was known")
    end = np.where(np.isnat(reported), np.datetime64(now, "s"), reported)
    left = hours - (end - known) / np.timedelta64(1, "h")
    return left, left < 0
