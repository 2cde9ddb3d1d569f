"""The score of networks while they are trained: Mellor et al. (ICML 2021), figure 6."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from naswot_ext.errors import NaswotError
from naswot_ext.figures import COLUMN, INK, MARK, accuracy_colour, canvas, scale_told, score_axis, style
from naswot_ext.papers.figures.labels import label_ends
from naswot_ext.statistics import kendall
from naswot_ext.tables import title

_MARKED_UP_TO = 12  # epochs; of fewer, each is marked
# Networks of nearly one accuracy have nearly one colour. Of more networks, the labels at the ends tell them apart.
_STYLES = (("-", "o"), ((0, (5, 1.5)), "s"), ((0, (1, 1)), "^"), ((0, (5, 1.5, 1, 1.5)), "D"), ((0, (8, 3)), "v"))


def training(
    traces: pd.DataFrame, *, y_label: str, accuracy: str = "", benchmark: str = "", width: float = COLUMN
) -> Figure:
    """A line a network: its score before training (epoch 0) and after each epoch, coloured by its known accuracy.

    `traces` have `arch_index`, `accuracy` (of the ground truth, percent), `epoch`, `score` and `status`. The accuracy
    is that after the benchmark's own, full training, not after the epochs drawn, and the title says so: `accuracy` is
    which one, such as "CIFAR-10 validation", `benchmark` the search space that has it. A few networks have a line style
    and a mark each. Epochs without a finite score are left out of a line; singular ones are marks on the lower edge.
    The title has Kendall's tau of the scores before training with the last ones. Raises NaswotError where there is
    nothing to draw.
    """
    if traces.empty:
        raise NaswotError("There is no score of a network in training to draw.")
    finite = traces[np.isfinite(traces["score"].to_numpy(np.float64))]
    networks = traces.drop_duplicates("arch_index").sort_values(["accuracy", "arch_index"])
    epochs = int(traces["epoch"].max())
    with style():
        figure = canvas(width, 2.75)
        axes = figure.add_subplot()
        ends: list[tuple[float, float, str]] = []
        many = len(networks) > len(_STYLES)
        styles = [_STYLES[0]] * len(networks) if many else _STYLES[: len(networks)]
        for index, known, (line, mark) in zip(networks["arch_index"], networks["accuracy"], styles, strict=True):
            mine = finite[finite["arch_index"] == index].sort_values("epoch")
            colour = accuracy_colour(float(known))
            marks = mark if epochs <= _MARKED_UP_TO else ""
            x, y = mine["epoch"].to_numpy(np.float64), mine["score"].to_numpy(np.float64)
            axes.plot(x, y, color=colour, linestyle=line, linewidth=1.3, marker=marks, markersize=3)
            if len(x):
                axes.plot(x[-1], y[-1], mark, color=colour, markersize=3.5, markeredgecolor=INK, markeredgewidth=0.4)
                ends.append((x[-1], y[-1], f"{known:.2f} %"))
        score_axis(axes, "y", finite["score"].to_numpy(np.float64))
        span = max(epochs, 1)
        axes.set_xlim(-0.04 * span, 1.3 * span)
        # The right margin is the labels' room, not more epochs.
        ticks = MaxNLocator(5, integer=True).tick_values(0, span)
        axes.set_xticks([tick for tick in ticks if 0 <= tick <= epochs])
        singular = traces[np.isneginf(traces["score"].to_numpy(np.float64))]
        if len(singular):
            edge = axes.get_xaxis_transform()
            zero = np.zeros(len(singular))
            axes.plot(singular["epoch"], zero, "v", color=MARK, markersize=4, clip_on=False, transform=edge)
        axes.set_xlabel("epochs of training")
        axes.set_ylabel(y_label + scale_told(axes, "y"))
        lines = [f"{len(networks)} network{'s' * (len(networks) > 1)}, {epochs} epoch{'s' * (epochs != 1)}"]
        lines += [f"at the ends: {accuracy} accuracy".replace("  ", " ")]
        lines += [f"in {title(benchmark) if benchmark else 'the benchmark'}, after its full training"]
        lines += _told(traces, len(singular))
        axes.set_title("\n".join(lines), fontsize=7)
        # A line that ends early keeps its label beside the others.
        label_ends(axes, epochs, [y for _, y, _ in ends], [text for _, _, text in ends])
    return figure


def data(traces: pd.DataFrame) -> pd.DataFrame:
    """What `training` draws: the `traces`, and `tau_before_after`, which is of all of them, on each row.

    Without `seconds`, which are no part of it and differ from run to run.
    """
    if traces.empty:
        return traces
    return traces.drop(columns="seconds", errors="ignore").assign(tau_before_after=agreement(traces))


def agreement(traces: pd.DataFrame) -> float:
    """Kendall's tau-b of the scores before training with those of each network's last epoch.

    NaN where it is undefined, as of fewer than 3 networks.
    """
    known = traces.dropna(subset=["score"]).sort_values("epoch", kind="stable")
    before = known[known["epoch"] == 0].set_index("arch_index")["score"]
    after = known[known["epoch"] > 0].groupby("arch_index")["score"].last()
    shared = before.index.intersection(after.index)
    if len(shared) < 3:
        return float("nan")
    return kendall(before.loc[shared].to_numpy(np.float64), after.loc[shared].to_numpy(np.float64))


def _told(traces: pd.DataFrame, singular: int) -> list[str]:
    tau = agreement(traces)
    found = [] if np.isnan(tau) else [f"τ of scores before and after: {tau:.2f}".replace("-", "−")]
    failed = int((traces["status"] == "failed").sum())
    found += [f"{n} {word}" for word, n in (("singular", singular), ("failed", failed)) if n]
    return [", ".join(found)] if found else []
