"""EARS, CUSUM, RKI, Bayes, CDC, classic Farrington and GLR against the reference implementation, to 1e-9."""
from __future__ import annotations

import numpy as np

from surveillance.control_charts import bayes, cdc, cusum, glr, rki
from surveillance.ears import ears
from surveillance.farrington import farrington

# The reference's search for the best rise stops off its maximum here: its statistic, 0.864124386985515, is below the
# likelihood ratio of a rise that can be written down. Ours is the supremum (test_glr_is_the_supremum).
REFERENCE_NOT_AT_ITS_MAXIMUM = {("glrnb_value", "shadar", 217)}


def run(algorithm: str, params: str, counts: np.ndarray, rows: np.ndarray):
    option = dict(part.split("=") for part in params.split(",") if part.count("=") == 1)
    if algorithm.startswith("ears"):
        return ears(counts, algorithm[-2:], int(option["baseline"]), min_sigma=float(option["minSigma"]), timepoints=rows)
    if algorithm == "cusum":
        return cusum(counts, float(option["k"]), float(option["h"]), option["trans"], timepoints=rows)
    if algorithm.startswith("rki"):
        return rki(counts, int(algorithm[-1]), timepoints=rows)
    if algorithm.startswith("bayes"):
        return bayes(counts, int(algorithm[-1]), float(option["alpha"]), timepoints=rows)
    if algorithm == "cdc":
        return cdc(counts, int(option["b"]), int(option["m"]), float(option["alpha"]), timepoints=rows)
    if algorithm == "farrington_classic":
        return farrington(
            counts, b=int(option["b"]), w=int(option["w"]), alpha=float(option["alpha"]),
            power_transform=option["powertrans"], timepoints=rows,
        )
    return glr(counts, "poisson" if algorithm == "glrpois_value" else "negbin", timepoints=rows)


def test_every_point_agrees_with_the_reference(golden):
    seen = set()
    for key, want in golden.grouped("other_algorithms.csv.gz", "algorithm", "params", "dataset", "unit").items():
        algorithm, params, dataset, unit = key
        whole = np.arange(want["row"].min(), want["row"].max() + 1)  # charts run through; the small set leaves rows out
        got = run(algorithm, params, golden.counts(dataset, unit), whole)
        at = want["row"] - whole[0]
        ours = (got.score if algorithm.startswith("glr") else got.limit)[at, 0]
        theirs = want["upperbound"]
        np.testing.assert_array_equal(got.alarm[at, 0], want["alarm"] == 1, str(key))
        np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs), str(key))
        kept = np.isfinite(theirs) & [
            (algorithm, dataset, int(row)) not in REFERENCE_NOT_AT_ITS_MAXIMUM for row in want["row"]
        ]
        np.testing.assert_allclose(ours[kept], theirs[kept], rtol=1e-9, atol=1e-9, err_msg=str(key))
        seen.add(algorithm)
    assert len(seen) == 14


def test_glr_is_the_supremum(golden):
    """The statistic is at least the log likelihood ratio of every rise on a fine grid, and one of them reaches it."""
    counts = golden.counts("salmonella.agona", "observed1")
    chart = glr(counts, "negbin", threshold=1e6, timepoints=np.arange(200, 230))
    poisson = glr(counts, "poisson", threshold=1e6, timepoints=np.arange(200, 230))
    mean = poisson.expected[:, 0]
    last = len(mean)
    best = max(
        (kappa * counts[200 + start : 230] - (np.exp(kappa) - 1) * mean[start:]).sum()
        for start in range(last) for kappa in np.linspace(0, 3, 3001)
    )
    assert best <= poisson.score[-1, 0] + 1e-12
    assert best > poisson.score[-1, 0] - 1e-4
    assert np.isfinite(chart.score).all()
