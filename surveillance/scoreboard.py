"""How good is each detector: the 42 scenarios, and a county whose outbreaks show in several streams and neighbours.

``python -m surveillance.scoreboard --replicates 20 --seed 1`` prints both scoreboards.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surveillance.control_charts import bayes, cdc, cusum, ewma, glr, rki
from surveillance.ears import ears
from surveillance.farrington import farrington, farrington_flexible
from surveillance.percentile import moving_percentile
from surveillance.pooled import pooled, pooled_streams
from surveillance.result import Detection
from surveillance.simulate import CURRENT, WEEKS, Simulated, draw_counts, simulate

FLEXIBLE = {"b": 5, "no_periods": 10, "past_weeks_not_included": 26, "p_threshold_trend": 1.0}


@dataclass(frozen=True)
class Quality:
    """Rates of one detector at one threshold, as fractions.

    ``fpr``: weeks flagged in series without current outbreak, ``fpr_by_scenario`` (scenario number -> rate);
    ``pod``: outbreaks flagged in at least one week between their first and last case, ``pod_interval`` its 95 % interval,
    ``pod_first``: in the first, ``pod_by_size`` (size 1..10 -> rate); ``delay``: mean weeks to detection of those found;
    ``sensitivity``, ``specificity``, ``ppv``: per week, in series with and without outbreak.
    """

    fpr: float
    fpr_by_scenario: dict[int, float]
    pod: float
    pod_interval: tuple[float, float]
    pod_first: float
    pod_by_size: dict[int, float]
    delay: float
    sensitivity: float
    specificity: float
    ppv: float


def evaluate(alarm: np.ndarray, truth: Simulated) -> Quality:
    """Quality of ``alarm`` (49 current weeks, series) against the simulated truth; a missing alarm is no alarm."""
    null = truth.size == 0
    sick = truth.outbreak[CURRENT] > 0
    has = sick.any(axis=0)
    flagged, during = alarm[:, has], sick[:, has]
    span = (np.cumsum(during, axis=0) > 0) & (np.cumsum(during[::-1], axis=0)[::-1] > 0)
    hits = flagged & span
    found = hits.any(axis=0)
    first = span.argmax(axis=0)
    size = truth.size[has]
    rate = float(found.mean())
    return Quality(
        fpr=float(alarm[:, null].mean()),
        fpr_by_scenario={
            int(s): float(alarm[:, null & (truth.scenario == s)].mean()) for s in np.unique(truth.scenario)
        },
        pod=rate,
        pod_interval=wilson(int(found.sum()), len(found)),
        pod_first=float(flagged[first, np.arange(len(first))].mean()),
        pod_by_size={int(k): float(found[size == k].mean()) for k in np.unique(size)},
        delay=float((hits.argmax(axis=0) - first)[found].mean()) if found.any() else float("nan"),
        sensitivity=float((alarm & sick).sum() / sick.sum()),
        specificity=float((~alarm & ~sick).sum() / (~sick).sum()),
        ppv=float((alarm & sick).sum() / max(alarm.sum(), 1)),
    )


def wilson(hits: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    p = hits / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * np.sqrt(p * (1 - p) / trials + z * z / (4 * trials**2)) / (1 + z * z / trials)
    return float(centre - half), float(centre + half)


def at_rate(score: np.ndarray, truth: Simulated, rate: float = 0.01) -> np.ndarray:
    """Alarms at the threshold that flags at most ``rate`` of the weeks of the series without current outbreak."""
    quiet = np.sort(np.nan_to_num(score[:, truth.size == 0], nan=-np.inf).ravel())[::-1]
    return np.nan_to_num(score, nan=-np.inf) > quiet[int(rate * len(quiet))]


Detector = Callable[[np.ndarray, np.ndarray], Detection]


def detectors() -> dict[str, Detector]:
    """Every single-series detector at its usual setting, by name: (counts, timepoints) -> Detection."""
    return {
        "pooled": lambda y, t: pooled(y, timepoints=t),
        "pooled, one week": lambda y, t: pooled(y, one_week=True, timepoints=t),
        "Farrington flexible nbPlugin .01": lambda y, t: farrington_flexible(
            y, alpha=0.01, threshold_method="nbPlugin", timepoints=t, **FLEXIBLE),
        "Farrington flexible muan .01": lambda y, t: farrington_flexible(
            y, alpha=0.01, threshold_method="muan", timepoints=t, **FLEXIBLE),
        "Farrington flexible delta .01": lambda y, t: farrington_flexible(y, alpha=0.01, timepoints=t, **FLEXIBLE),
        "Farrington .01": lambda y, t: farrington(y, alpha=0.01, timepoints=t),
        "EARS C1": lambda y, t: ears(y, "C1", min_sigma=0.5, timepoints=t),
        "EARS C2": lambda y, t: ears(y, "C2", min_sigma=0.5, timepoints=t),
        "EARS C3": lambda y, t: ears(y, "C3", min_sigma=0.5, timepoints=t),
        "moving percentile P80": lambda y, t: moving_percentile(y, 80, 5, timepoints=t),
        "moving percentile P90": lambda y, t: moving_percentile(y, 90, 5, timepoints=t),
        "CUSUM rossi": lambda y, t: cusum(y, transform="rossi", timepoints=t),
        "EWMA": lambda y, t: ewma(y, timepoints=t),
        "GLR Poisson": lambda y, t: glr(y, timepoints=t),
        "RKI 1": lambda y, t: rki(y, 1, timepoints=t),
        "RKI 2": lambda y, t: rki(y, 2, timepoints=t),
        "RKI 3": lambda y, t: rki(y, 3, timepoints=t),
        "Bayes 1": lambda y, t: bayes(y, 1, timepoints=t),
        "Bayes 2": lambda y, t: bayes(y, 2, timepoints=t),
        "Bayes 3": lambda y, t: bayes(y, 3, timepoints=t),
        "CDC": lambda y, t: cdc(y, timepoints=t),
    }


def judged_weeks() -> np.ndarray:
    """The rows of a simulated series that are judged."""
    return np.arange(CURRENT.start, CURRENT.stop)


def scoreboard(truth: Simulated, chosen: dict[str, Detector] | None = None) -> dict[str, tuple[Quality, Quality]]:
    """For each detector its quality at its own alarms, and by its score at 1 % false positives."""
    found = {}
    for name, detect in (chosen or detectors()).items():
        result = detect(truth.counts, judged_weeks())
        found[name] = evaluate(result.alarm, truth), evaluate(at_rate(result.score, truth), truth)
    return found


@dataclass(frozen=True)
class County:
    """A county without or with an outbreak: ``counts`` (WEEKS, place x stream), ``place`` and ``stream`` (series,),
    ``neighbours`` (place, place); with an outbreak the series that show it and its span of rows, else None."""

    counts: np.ndarray
    place: np.ndarray
    stream: np.ndarray
    neighbours: np.ndarray
    affected: np.ndarray | None
    span: tuple[int, int] | None
    size: int


STREAMS = ((1.0, 1.5, 1.0), (4.0, 2.0, 2.0), (0.4, 1.0, 0.3))  # mean per card, dispersion, records per outbreak case
GRID = (4, 3)
SHARE_NEXT = 0.3  # cases in each adjacent township per case in the centre


def simulate_county(size: int, rng: np.random.Generator) -> County:
    """Twelve townships on a grid with three streams each (cards, visits, laboratory) and one shared season.

    Card means are LogNormal(0.5, 0.7) per township; visits and laboratory follow as in STREAMS. An outbreak of ``size``
    deviations of the centre's cards shows in all streams of the centre and, at SHARE_NEXT, of its adjacent townships.
    """
    places = GRID[0] * GRID[1]
    where = np.column_stack(np.unravel_index(np.arange(places), GRID))
    neighbours = np.abs(where[:, None] - where[None]).sum(axis=2) == 1
    week = np.arange(WEEKS)
    season = np.exp(0.4 * np.cos(2 * np.pi * (week - rng.integers(52)) / 52) + 0.0005 * week)
    level = rng.lognormal(0.5, 0.7, places)
    place = np.repeat(np.arange(places), len(STREAMS))
    stream = np.tile(np.arange(len(STREAMS)), places)
    counts = np.column_stack([
        draw_counts(level[p] * STREAMS[s][0] * season, STREAMS[s][1], rng) for p, s in zip(place, stream, strict=True)
    ])
    if not size:
        return County(counts, place, stream, neighbours, None, None, 0)
    centre = int(rng.integers(places))
    start = int(rng.integers(CURRENT.start, CURRENT.stop - 3))
    cards = size * counts[:, place == centre][:, 0].std(ddof=1)
    extra = np.zeros_like(counts)
    for series in range(len(place)):
        share = 1.0 if place[series] == centre else SHARE_NEXT * neighbours[centre, place[series]]
        cases = rng.poisson(cards * share * STREAMS[stream[series]][2])
        weeks = start + np.floor(rng.lognormal(0.0, 0.5, cases)).astype(int)
        extra[:, series] = np.bincount(weeks[weeks < WEEKS], minlength=WEEKS)
    rows = np.flatnonzero(extra.any(axis=1))
    span = (int(rows.min()), int(rows.max())) if len(rows) else (start, start)
    return County(counts + extra, place, stream, neighbours, extra.any(axis=0), span, size)


def county_scoreboard(counties: int = 40, seed: int = 1, budget: float = 0.2) -> dict[str, float]:
    """Outbreaks missed by Farrington flexible on each series alone and by the joint detector.

    ``counties`` counties without and as many with an outbreak of 1..10 deviations; both detectors are held to ``budget``
    false alarms per county and week on the counties without. Farrington flexible finds an outbreak by an alarm in any
    series that shows it, the joint detector by one at the centre or next to it, within the outbreak's span.
    Returns rates: missed_alone, missed_joint, and outbreaks counted.
    """
    rng = np.random.default_rng(seed)
    rows = judged_weeks()
    quiet, sick = [], []
    for index in range(2 * counties):
        county = simulate_county(0 if index % 2 else int(rng.integers(1, 11)), rng)
        alone = farrington_flexible(
            county.counts, alpha=0.01, threshold_method="nbPlugin", limit54=(0, 4), timepoints=rows, **FLEXIBLE)
        surprise = -np.log(np.maximum(alone.p_value, 1e-300))  # the p-value orders finer than the exceedance score
        joint = pooled_streams(county.counts, county.place, county.neighbours, timepoints=rows).score
        (quiet if county.affected is None else sick).append((county, surprise, joint))
    missed = {}
    for name, column in (("missed_alone", 1), ("missed_joint", 2)):
        false = np.sort(np.concatenate([entry[column].ravel() for entry in quiet]))[::-1]
        limit = false[int(budget * len(quiet) * len(rows))]
        found = 0
        for county, *scores in sick:
            reach = county.affected if column == 1 else np.unique(county.place[county.affected])
            part = scores[column - 1][county.span[0] - rows[0] : county.span[1] - rows[0] + 1]
            found += bool((part[:, reach] > limit).any())
        missed[name] = 1 - found / len(sick)
    return missed | {"outbreaks": float(len(sick))}


def _row(name: str, q: Quality) -> str:
    low, high = q.pod_interval
    return (
        f"{name:34s} {q.fpr:6.2%} {q.pod:6.1%} ({low:.1%}-{high:.1%}) {q.pod_first:6.1%} {q.delay:5.2f} "
        f"{q.sensitivity:6.1%} {q.specificity:6.1%} {q.ppv:6.1%} "
        f"{min(q.fpr_by_scenario.values()):.2%}-{max(q.fpr_by_scenario.values()):.2%} "
        + " ".join(f"{rate:.0%}" for rate in q.pod_by_size.values())
    )


def main() -> None:
    """Print the scoreboards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=20, help="series per scenario without and with outbreak")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of detectors, default all")
    parser.add_argument("--counties", type=int, default=40, help="counties of the joint design; 0 leaves it out")
    arguments = parser.parse_args()
    chosen = {name: d for name, d in detectors().items() if not arguments.only or name in arguments.only}
    header = f"{'':34s} {'FPR':>6s} {'POD':>6s} {'(95 %)':>13s} {'week 1':>6s} {'delay':>5s} sens. spec. PPV, FPR by scenario, POD by size"
    truth = simulate(arguments.replicates, arguments.seed)
    board = scoreboard(truth, chosen)
    for title, which in (("at its own setting", 0), ("at 1 % false positives", 1)):
        print(f"\n{title}: {arguments.replicates} x 2 series per scenario, seed {arguments.seed}\n{header}")
        for name, qualities in board.items():
            print(_row(name, qualities[which]))
    if arguments.counties:
        print("\njoint design:", county_scoreboard(arguments.counties, arguments.seed))


if __name__ == "__main__":
    main()
