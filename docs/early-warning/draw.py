"""Draw the pictures of these pages: every detector on the same simulated series with one past and one current outbreak.

``python docs/early-warning/draw.py`` rewrites docs/early-warning/pictures/*.svg; the series depends on the seed alone.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

from surveillance.nowcast import nowcast
from surveillance.scan import distance_km, space_time_scan
from surveillance.scoreboard import detectors
from surveillance.simulate import CURRENT, draw_counts, draw_outbreak, scenarios

FOLDER = Path(__file__).parent / "pictures"
WIDTH, HEIGHT, LEFT, TOP = 720, 220, 40, 24
SEED = 4


def name_of(title: str) -> str:
    return title.lower().replace(",", "").replace(".", "").replace(" ", "-")


def frame(title: str, top: float, body: list[str]) -> str:
    ticks = "".join(
        f'<text x="{LEFT - 6}" y="{y_of(v, top) + 4:.1f}" text-anchor="end">{v:g}</text>'
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y_of(v, top):.1f}" y2="{y_of(v, top):.1f}" stroke="#ddd"/>'
        for v in (0, round(top / 2), round(top))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 8} {HEIGHT + TOP + 24}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/><text x="{LEFT}" y="14" font-size="13">{title}</text>'
        f'{ticks}{"".join(body)}</svg>\n'
    )


def y_of(value: float, top: float) -> float:
    return TOP + HEIGHT * (1 - min(value, top) / top)


def curve(title: str, counts, expected, limit, alarm, outbreak) -> str:
    top = float(np.nanmax([counts.max(), np.nanpercentile(np.append(limit, 1), 95)])) * 1.05
    step = (WIDTH - LEFT) / len(counts)
    body = []
    for i, value in enumerate(counts):
        x = LEFT + i * step
        colour = "#c0392b" if alarm[i] else "#7f8c8d"
        body.append(
            f'<rect x="{x + 0.1 * step:.1f}" width="{0.8 * step:.1f}" y="{y_of(value, top):.1f}" '
            f'height="{TOP + HEIGHT - y_of(value, top):.1f}" fill="{colour}"/>'
        )
        if outbreak[i]:
            body.append(f'<rect x="{x:.1f}" width="{step:.1f}" y="{TOP + HEIGHT + 2}" height="5" fill="#e67e22"/>')
    for values, colour in ((expected, "#2980b9"), (limit, "#27ae60")):
        points = " ".join(
            f"{LEFT + (i + 0.5) * step:.1f},{y_of(v, top):.1f}" for i, v in enumerate(values) if np.isfinite(v)
        )
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    body.append(
        f'<text x="{LEFT}" y="{TOP + HEIGHT + 20}">cases per week; red: alarm, blue: expected, green: limit, orange: true outbreak'
        "</text>"
    )
    return frame(title, top, body)


def example() -> tuple[np.ndarray, np.ndarray]:
    """One series of scenario 8 with an outbreak of 6 deviations in the 20th judged week."""
    rng = np.random.default_rng(SEED)
    scenario = scenarios()[25]
    y = draw_counts(scenario.mean, scenario.dispersion, rng)
    y += draw_outbreak(400, 6 * y.std(), slice(0, 575), rng)
    outbreak = draw_outbreak(CURRENT.start + 20, 5 * y.std(), CURRENT, rng)
    return y + outbreak, outbreak


def draw_scan() -> str:
    rng = np.random.default_rng(SEED)
    latitude, longitude = rng.uniform(30, 30.4, 60), rng.uniform(120, 120.6, 60)
    counts = rng.poisson(0.1, (90, 60)).astype(float)
    near = np.argsort(distance_km(np.radians(np.column_stack([latitude, longitude])))[7])[:5]
    counts[-5:, near] += rng.poisson(0.6, (5, 5))
    best = space_time_scan(counts, latitude, longitude, max_days=14).clusters[0]
    x = LEFT + (longitude - 120) / 0.6 * (WIDTH - LEFT)
    y = TOP + (30.4 - latitude) / 0.4 * HEIGHT
    body = [
        f'<circle cx="{x[i]:.1f}" cy="{y[i]:.1f}" r="{3 + counts[-14:, i].sum():.1f}" '
        f'fill="{"#c0392b" if i in best.places else "#7f8c8d"}" fill-opacity="0.7"/>' for i in range(60)
    ]
    body.append(
        f'<text x="{LEFT}" y="{TOP + HEIGHT + 20}">townships, size: cases of 14 days; red: best cluster, {best.observed} cases '
        f"({best.expected:.1f} expected), p {best.p_value:.3f}, one in {best.recurrence_days:,.0f} days</text>"
    )
    return frame("Space-time scan", 1, body).replace(">0.5<", "><").replace(">1<", "><").replace(">0<", "><")


def draw_nowcast() -> str:
    rng = np.random.default_rng(SEED)
    share = 0.75 ** np.arange(15)
    full = np.array([
        rng.multinomial(rng.poisson(20 * np.exp(0.6 * np.sin(d / 8))), share / share.sum()) for d in range(60)
    ]).astype(float)
    known = np.where(np.arange(60)[::-1][:, None] < np.arange(15), np.nan, full)
    got = nowcast(known, seed=SEED)
    top = float(got.upper.max()) * 1.05
    step = (WIDTH - LEFT) / 60
    body = []
    for i in range(60):
        x = LEFT + (i + 0.5) * step
        body.append(
            f'<rect x="{x - 0.4 * step:.1f}" width="{0.8 * step:.1f}" y="{y_of(got.reported[i], top):.1f}" '
            f'height="{TOP + HEIGHT - y_of(got.reported[i], top):.1f}" fill="#7f8c8d"/>'
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y_of(got.lower[i], top):.1f}" y2="{y_of(got.upper[i], top):.1f}" '
            f'stroke="#2980b9"/><circle cx="{x:.1f}" cy="{y_of(full[i].sum(), top):.1f}" r="2" fill="#e67e22"/>'
        )
    body.append(
        f'<text x="{LEFT}" y="{TOP + HEIGHT + 20}">grey: reported by now, blue: 95 % interval, orange: final count</text>'
    )
    return frame("Nowcast", top, body)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    counts, outbreak = example()
    rows = np.arange(CURRENT.start, CURRENT.stop)
    for title, detect in detectors().items():
        found = detect(counts, rows)
        picture = curve(
            title, counts[rows], found.expected[:, 0], found.limit[:, 0], found.alarm[:, 0], outbreak[rows] > 0
        )
        (FOLDER / f"{name_of(title)}.svg").write_text(picture, encoding="utf-8")
    (FOLDER / "scan.svg").write_text(draw_scan(), encoding="utf-8")
    (FOLDER / "nowcast.svg").write_text(draw_nowcast(), encoding="utf-8")


if __name__ == "__main__":
    main()
