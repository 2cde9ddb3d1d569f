"""What holds for each of the papers' figures: it can be read, nothing is cut off, equal data gives equal bytes."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from naswot_ext.figures import save
from naswot_ext.papers.figures.labels import SIZE
from tests.papers.figures.samples import FIGURES

PRINTED = pytest.mark.parametrize("name", list(FIGURES))
DPI = 150


def drawn(name: str, tmp_path) -> tuple[Figure, list[Text]]:
    """A figure as it is saved, and its texts that can be seen."""
    figure = FIGURES[name]()
    save(figure, tmp_path / "a.png", dpi=DPI)
    figure.set_dpi(DPI)
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    hidden = _not_drawn(figure)
    return figure, [text for text in texts if text not in hidden]


def _not_drawn(figure: Figure) -> set[Text]:
    """Numbers of axes that are kept beyond the limits, or for later, and all of axes that are off."""
    found: set[Text] = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            kept = {label for tick in (*axis.majorTicks, *axis.minorTicks) for label in (tick.label1, tick.label2)}
            shown = {label for tick in axis._update_ticks() for label in (tick.label1, tick.label2)}
            found |= kept - shown if axes.axison else kept | {axis.label}
    return found


@PRINTED
def test_its_text_is_large_enough_inside_the_figure_and_apart(tmp_path, name):
    figure, texts = drawn(name, tmp_path)
    assert len(texts) > 4
    small = [text.get_text() for text in texts if text.get_fontsize() < SIZE]
    assert not small
    page = figure.bbox.padded(1.5)
    # Of a label alone, without the line to what it names.
    boxes = {text: Text.get_window_extent(text) for text in texts}
    cut = [
        text.get_text()
        for text, box in boxes.items()
        if box.x0 < page.x0 or box.y0 < page.y0 or box.x1 > page.x1 or box.y1 > page.y1
    ]
    assert not cut
    touching = []
    for (a, first), (b, second) in combinations(boxes.items(), 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        # The boxes of lines of text have some room around the letters.
        if width > 1 and height > 0.25 * min(first.height, second.height):
            touching.append((a.get_text(), b.get_text()))
    assert not touching


@PRINTED
def test_it_is_as_wide_as_a_page_or_a_column_at_most(name):
    assert FIGURES[name]().get_figwidth() <= 6.9


@pytest.mark.parametrize("name", [name for name in FIGURES if "," not in name])
def test_equal_data_gives_equal_bytes(tmp_path, name):
    for file in ("first", "second"):
        save(FIGURES[name](), tmp_path / f"{file}.pdf", tmp_path / f"{file}.png", dpi=60)
    for kind in ("pdf", "png"):
        assert (tmp_path / f"first.{kind}").read_bytes() == (tmp_path / f"second.{kind}").read_bytes()


def test_drawing_imports_neither_pyplot_nor_torch():
    modules = "ablation, bars, histograms, kernels, library, scatter, time, training"
    check = f"from naswot_ext.papers.figures import {modules}; import sys; "
    check += "sys.exit(any(m in sys.modules for m in ('matplotlib.pyplot', 'torch')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
