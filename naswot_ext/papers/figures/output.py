"""A figure of the papers as files: PDF and PNG, and the data behind it as CSV."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from naswot_ext.config import split_title
from naswot_ext.figures import COLUMN, absent_panel, canvas, save, style
from naswot_ext.files import atomic_path
from naswot_ext.provenance import read_provenance
from naswot_ext.tables import title


def write(
    figure: Figure,
    data: pd.DataFrame,
    *,
    pdf: str | os.PathLike[str],
    png: str | os.PathLike[str],
    csv: str | os.PathLike[str],
    dpi: int,
) -> None:
    """Write a figure, and `data`, what it draws, each file at once or not at all."""
    save(figure, pdf, png, dpi=dpi)
    with atomic_path(csv) as temporary:
        # As many digits as give the same float64 again.
        data.to_csv(temporary, index=False)


def absent(heading: str, reasons: Iterable[str]) -> Figure:
    """A figure of which nothing could be made, with the reasons."""
    text = "; ".join(dict.fromkeys(reasons)) or "not measured"
    with style():
        figure = canvas(COLUMN, 1.6)
        absent_panel(figure.subplots(), heading, textwrap.fill(text, 52))
    return figure


def accuracy_of(path: str | os.PathLike[str]) -> str:
    """Which accuracy the networks of a measurement were chosen by, such as "CIFAR-10 validation", from its table."""
    chosen: Mapping[str, Any] = read_provenance(path)["choose"]
    return f"{title(chosen['dataset'])} {split_title(chosen['split'])}"
