"""What the score of a network depends on besides the network.

Mellor et al. (ICML 2021), figure 5: mini-batch, Gaussian input, initialisation, batch size; and arXiv v1 (2020), figure
4: mini-batch, initialisation, Gaussian input. Networks stand in the order of their accuracy and have its colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from naswot_ext.errors import NaswotError
from naswot_ext.figures import (
    COLUMN,
    INK,
    MARK,
    WIDE,
    absent_panel,
    accuracy_colour,
    canvas,
    scale_told,
    score_axis,
    style,
    wrap,
)
from naswot_ext.papers.figures.labels import label_ends
from naswot_ext.statistics import kendall

TITLES = {
    "minibatch": "Mini-batch",
    "gaussian": "Gaussian input",
    "initialisation": "Initialisation",
    "batch_size": "Batch size",
}
REFERENCE = "minibatch"
REFERENCE_SIZE = 128
_BOX_FROM = 8  # samples; of fewer, each is a dot
_APART = 0.5  # of the way to the next batch size; that far the networks' marks spread

COLUMNS = ["kind", "batch_size", "arch_index", "arch", "accuracy", "sample", "score", "status", "rank"]
COLUMNS += ["samples", "singular", "failed", "mean", "std", "minimum", "median", "maximum", "mean_rank", "std_rank"]
COLUMNS += ["tau_networks", "tau_with_accuracy", "reference", "tau_with_reference"]


def ablation(
    samples: pd.DataFrame,
    kinds: Sequence[str],
    *,
    y_label: str,
    accuracy: str = "",
    reasons: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """A panel a kind of `kinds` (see `TITLES`): the scores of each network, as boxes or, where they are few, dots.

    `samples` have `arch_index`, `arch`, `accuracy` (percent), `kind`, `sample`, `batch_size`, `score` and `status`.
    Scores of batches of different sizes are not on one scale, so the panel of the batch size shows the rank of each
    network among the others: the mean over samples and its standard deviation. Below each title: Kendall's tau of the
    mean scores with those of the mini-batches (with those of the batch size 128), and with accuracy. A kind without
    samples says why, by `reasons`. Raises NaswotError for an unknown kind or none.
    """
    unknown = [kind for kind in kinds if kind not in TITLES]
    if unknown or not kinds:
        raise NaswotError(f"Unknown kind of ablation: {', '.join(unknown) or 'none'}. Known: {', '.join(TITLES)}.")
    columns = 2 if len(kinds) in (2, 4) else min(len(kinds), 3)
    rows = -(-len(kinds) // columns)
    width = WIDE if columns > 1 else COLUMN
    agreed = agreement(samples)
    with style():
        figure = canvas(width, 2.45 * rows)
        all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        titles: list[Text] = []
        for letter, axes, kind in zip("abcdefgh", all_axes, kinds, strict=False):
            heading = f"({letter}) {TITLES[kind]}"
            part = samples[samples["kind"] == kind]
            if part.empty:
                reason = reasons.get(kind, "not measured")
                titles.append(absent_panel(axes, heading, wrap(reason, int(12 * width / columns))))
                continue
            axes.set_xlabel(f"{accuracy} accuracy (%)".lstrip())
            letters = dict(zip(kinds, "abcdefgh", strict=False))
            notes = _told(part, agreed[agreed["kind"] == kind], letters.get(REFERENCE))
            if kind == "batch_size":
                _ranks(axes, part, accuracy)
            else:
                notes += _distributions(axes, part, width / columns)
                axes.set_ylabel(wrap(y_label + scale_told(axes, "y"), 30))
            if columns == 3:
                notes = [text.replace(", with", ",\nwith") for text in notes]
            titles.append(axes.set_title("\n".join([heading, *notes]), fontsize=7 if columns < 3 else 6.5))
        for start in range(0, len(titles), columns):
            _align(titles[start : start + columns])
        for axes in all_axes[len(kinds) :]:
            axes.set_axis_off()
        for axes, kind in zip(all_axes, kinds, strict=False):
            if kind == "batch_size" and not samples[samples["kind"] == kind].empty:
                _name_ends(axes, ranks(samples))
    return figure


def data(samples: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """What `ablation` draws: a row (`COLUMNS`) a sample, in the order of `kinds`, batch size, accuracy and sample.

    `rank` (1 is the highest score) is among the networks of the same kind, batch size and sample. From `samples` on the
    columns are of the network and its setting, and repeat on each of its rows: `samples` counts the scored ones,
    `singular` and `failed` the others; `mean`, `std` (population), `minimum`, `median` and `maximum` are of the finite
    scores, `mean_rank` and `std_rank` of the ranks. Those from `tau_networks` on are of the setting: see `agreement`.
    """
    found = []
    placed = _ranked(samples)
    for kind in kinds:
        part = placed[placed["kind"] == kind]
        for (size, index), group in part.groupby(["batch_size", "arch_index"]):
            scores = group["score"].to_numpy(np.float64)
            finite = scores[np.isfinite(scores)]
            known = len(finite) > 0
            found.append(
                {
                    "kind": kind,
                    "batch_size": size,
                    "arch_index": index,
                    "samples": len(finite),
                    "singular": int((group["status"] == "singular").sum()),
                    "failed": int((group["status"] == "failed").sum()),
                    "mean": finite.mean() if known else np.nan,
                    "std": finite.std() if known else np.nan,
                    "minimum": finite.min() if known else np.nan,
                    "median": np.median(finite) if known else np.nan,
                    "maximum": finite.max() if known else np.nan,
                    "mean_rank": group["rank"].mean(),
                    "std_rank": group["rank"].std(ddof=0),
                }
            )
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    taus = agreement(samples).rename(columns={"networks": "tau_networks"})
    taus = taus.rename(columns={name: f"tau_{name}" for name in ("with_accuracy", "with_reference")})
    table = placed.merge(pd.DataFrame(found), on=["kind", "batch_size", "arch_index"])
    table = table.merge(taus, on=["kind", "batch_size"], how="left")
    order = table["kind"].map({kind: i for i, kind in enumerate(kinds)})
    keys = ["order", "batch_size", "accuracy", "arch_index", "sample"]
    return table.assign(order=order).sort_values(keys, kind="stable")[COLUMNS].reset_index(drop=True)


def agreement(samples: pd.DataFrame) -> pd.DataFrame:
    """Whether a setting changes the ranking: a row a kind and batch size.

    Kendall's tau-b of the networks' mean scores with `reference` (the mean scores of the mini-batches; for batch
    sizes, those of 128, or the largest) and with `accuracy`; `networks` are those that both have. NaN: undefined, as
    of fewer than 3 networks. A network with a singular sample has the lowest mean, a failed sample is left out.
    """
    means = _means(samples)
    sizes = sorted(size for kind, size in means if kind == "batch_size")
    accuracy = samples.drop_duplicates("arch_index").set_index("arch_index")["accuracy"]
    found = []
    for (kind, size), scores in means.items():
        if kind == "batch_size":
            against = (kind, REFERENCE_SIZE if REFERENCE_SIZE in sizes else sizes[-1])
        else:
            against = next((key for key in means if key[0] == REFERENCE), ("", 0))
        reference = means.get(against, scores.iloc[:0])
        shared = scores.index.intersection(reference.index)
        with_reference = _tau(scores.loc[shared], reference.loc[shared])
        found.append(
            {
                "kind": kind,
                "batch_size": size,
                "networks": len(shared) or len(scores),
                "reference": " ".join(map(str, against)) if len(reference) and against != (kind, size) else "",
                "with_reference": np.nan if against == (kind, size) else with_reference,
                "with_accuracy": _tau(scores, accuracy.loc[scores.index]),
            }
        )
    columns = ["kind", "batch_size", "networks", "reference", "with_reference", "with_accuracy"]
    return pd.DataFrame(found, columns=columns)


def ranks(samples: pd.DataFrame) -> pd.DataFrame:
    """The rank of each network's score by batch size: the mean over samples of equal number, and its deviation."""
    placed = _ranked(samples[samples["kind"] == "batch_size"])
    grouped = placed.groupby(["batch_size", "arch_index"])
    table = grouped.agg(accuracy=("accuracy", "first"), mean=("rank", "mean"), samples=("rank", "count"))
    return table.assign(std=grouped["rank"].std(ddof=0)).reset_index()


def _ranked(samples: pd.DataFrame) -> pd.DataFrame:
    """With `rank` among the networks of the same kind, batch size and sample: 1 is the highest, NaN is failed."""
    scores = samples["score"].where(samples["status"] != "failed")
    grouped = scores.groupby([samples["kind"], samples["batch_size"], samples["sample"]])
    return samples.assign(rank=grouped.rank(ascending=False, method="average"))


def _means(samples: pd.DataFrame) -> dict[tuple[str, int], pd.Series]:
    kept = samples[samples["status"] != "failed"].dropna(subset=["score"])
    means = kept.groupby(["kind", "batch_size", "arch_index"])["score"].mean()
    keys = dict.fromkeys((str(kind), int(size)) for kind, size, _ in means.index)
    return {key: means.loc[key] for key in keys}


def _tau(x: pd.Series, y: pd.Series) -> float:
    return kendall(x.to_numpy(np.float64), y.to_numpy(np.float64)) if len(x) > 2 else float("nan")


def _align(titles: Sequence[Text]) -> None:
    """Let titles that stand side by side begin at one height: the shorter ones end in empty lines."""
    lines = [title.get_text().count("\n") for title in titles]
    for title, count in zip(titles, lines, strict=True):
        title.set_text(title.get_text() + "\n" * (max(lines) - count))


def _told(part: pd.DataFrame, agreed: pd.DataFrame, letter: str | None) -> list[str]:
    counted = part.groupby(["batch_size", "arch_index"]).size()
    n = f"{counted.max()}" if counted.min() == counted.max() else f"{counted.min()} to {counted.max()}"
    networks = part["arch_index"].nunique()
    first = f"{networks} network{'s' * int(networks > 1)}, {n} sample{'s' * int(counted.max() > 1)} each"
    taus = agreed["with_reference"].dropna()
    lines = [first]
    if part["kind"].iloc[0] == "batch_size":
        size = REFERENCE_SIZE if REFERENCE_SIZE in set(agreed["batch_size"]) else agreed["batch_size"].max()
        if len(taus):
            lines.append(f"τ with batch size {size}: {_listed(agreed.dropna(subset=['with_reference']))}")
    else:
        text = [f"with accuracy {value:.2f}" for value in agreed["with_accuracy"].dropna()]
        other = f"({letter})" if letter else "mini-batches"
        text = [f"with {other} {value:.2f}" for value in taus] + text
        if text:
            lines.append("τ of means " + ", ".join(text).replace("-", "−"))
    return lines


def _listed(agreed: pd.DataFrame) -> str:
    return ", ".join(f"{row.with_reference:.2f} ({row.batch_size})" for row in agreed.itertuples()).replace("-", "−")


def _distributions(axes: Axes, part: pd.DataFrame, width: float) -> list[str]:
    """Draw the scores of each network at its place; gives the notes on what is not drawn as a score."""
    networks = part.drop_duplicates("arch_index").sort_values(["accuracy", "arch_index"])
    jitter = np.random.default_rng(0)
    every: list[NDArray[np.float64]] = []
    singular = []
    for x, (index, accuracy) in enumerate(zip(networks["arch_index"], networks["accuracy"], strict=True)):
        mine = part[part["arch_index"] == index]
        scores = mine["score"].to_numpy(np.float64)
        finite = scores[np.isfinite(scores)]
        every.append(finite)
        if np.isneginf(scores).any():
            singular.append(x)
        colour = accuracy_colour(float(accuracy))
        if len(finite) >= _BOX_FROM:
            axes.boxplot(
                [finite],
                positions=[x],
                widths=0.6,
                whis=(0, 100),
                patch_artist=True,
                manage_ticks=False,
                boxprops={"facecolor": colour, "edgecolor": INK, "linewidth": 0.5},
                medianprops={"color": INK, "linewidth": 1.0},
                whiskerprops={"color": INK, "linewidth": 0.5},
                capprops={"color": INK, "linewidth": 0.5},
            )
        elif len(finite):
            places = x + jitter.uniform(-0.16, 0.16, len(finite)) * (len(finite) > 1)
            axes.scatter(places, finite, s=13, color=[colour], edgecolors=INK, linewidths=0.4)
            axes.hlines(finite.mean(), x - 0.32, x + 0.32, color=INK, linewidth=1.0)
    score_axis(axes, "y", np.concatenate(every))
    # Numbers that would touch stand upright.
    upright = len(networks) * 0.26 > width - 0.65
    axes.set_xticks(range(len(networks)), [f"{a:.1f}" for a in networks["accuracy"]], fontsize=6.5)
    axes.tick_params(axis="x", length=0, rotation=90 if upright else 0)
    axes.set_xlim(-0.6, len(networks) - 0.4)
    axes.grid(visible=False, axis="x")
    notes = []
    if singular:
        edge = axes.get_xaxis_transform()
        axes.plot(singular, np.zeros(len(singular)), "v", color=MARK, markersize=4, clip_on=False, transform=edge)
    count = int((part["status"] == "singular").sum())
    if count:
        notes.append(f"{count} singular (marks below)")
    failed = int((part["status"] == "failed").sum())
    if failed:
        notes.append(f"{failed} failed")
    return [", ".join(notes)] if notes else []


def _ranks(axes: Axes, part: pd.DataFrame, accuracy: str) -> None:
    found = ranks(part)
    sizes = sorted(found["batch_size"].unique())
    places = {size: i for i, size in enumerate(sizes)}
    networks = found["arch_index"].nunique()
    apart = _offsets(found)
    for index in apart:
        mine = found[found["arch_index"] == index].sort_values("batch_size")
        colour = accuracy_colour(float(mine["accuracy"].iloc[0]))
        x = mine["batch_size"].map(places).to_numpy(np.float64) + apart[index]
        axes.plot(x, mine["mean"], color=colour, linewidth=1.2, zorder=2)
        deviation = mine["std"].to_numpy(np.float64) * (mine["samples"].to_numpy() > 1)
        axes.errorbar(
            x,
            mine["mean"],
            yerr=np.nan_to_num(deviation),
            fmt="o",
            markersize=3.5,
            color=colour,
            markeredgecolor=INK,
            markeredgewidth=0.4,
            ecolor=colour,
            elinewidth=0.9,
            zorder=3,
        )
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlim(-0.4, (len(sizes) - 1) * 1.25 + 0.6)
    axes.set_ylim(networks + 0.6, 0.4)
    axes.set_yticks([1, *range(5, networks + 1, 5)] if networks > 6 else range(1, networks + 1))
    axes.set_xlabel(f"batch size; at the ends: {accuracy} accuracy".replace("  ", " "))
    axes.set_ylabel("mean rank of the score")
    axes.grid(visible=False, axis="x")


def _offsets(found: pd.DataFrame) -> dict[Any, float]:
    """{network: how far right of its batch size it is drawn}, by accuracy: so deviations do not cover each other."""
    order = found.groupby("arch_index")["accuracy"].first().sort_values(kind="stable").index
    return {index: _APART * ((i + 0.5) / len(order) - 0.5) for i, index in enumerate(order)}


def _name_ends(axes: Axes, found: pd.DataFrame) -> None:
    last = found[found["batch_size"] == found["batch_size"].max()].dropna(subset=["mean"])
    x = found["batch_size"].nunique() - 1 + last["arch_index"].map(_offsets(found))
    label_ends(axes, x, last["mean"], [f"{a:.1f} %" for a in last["accuracy"]])
