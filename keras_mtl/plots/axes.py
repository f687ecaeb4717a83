"""Parts that plots have in common: figures, colors, task names, separated layers."""

import itertools
from typing import Any

import numpy as np

USE_COLORS = ["#f7fbff", "#c6dbef", "#6baed6", "#2171b5"]  # one hue, evenly darker
PROBABILITY_COLORS = "RdBu"  # pale at one half, where nothing is decided; blue is used
SIGNED_COLORS = "RdBu"  # pale at 0; blue is positive
BAR_COLOR = USE_COLORS[-1]
_GRID_COLOR = "0.9"


def given_or_new(ax: Any, width: Any, height: Any) -> Any:
    """Returns `ax`, or the axes of a new figure of that size in inches.

    The figure is not known to `pyplot`, so nothing has to be closed.
    """
    return new_figure(width, height).add_subplot() if ax is None else ax


def new_figure(width: Any, height: Any) -> Any:
    """Returns an empty figure of about that size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib. Install it with: pip install "keras_mtl[plots]"'
        ) from error
    figsize = (min(max(width, 3.5), 24), min(max(height, 2.5), 24))
    return Figure(figsize=figsize, layout="constrained")


def show_matrix(
    ax: Any, matrix: Any, row_names: Any, colors: Any = None, limits: Any = (0, 1)
) -> Any:
    """Draws numbers within `limits`, with a name for each row; returns the image."""
    from matplotlib.colors import LinearSegmentedColormap

    colors = colors or LinearSegmentedColormap.from_list("use", USE_COLORS)
    low, high = limits
    image = ax.imshow(matrix, cmap=colors, vmin=low, vmax=high, interpolation="none")
    ax.set_yticks(range(len(row_names)), row_names)
    ax.tick_params(length=0)
    num_rows, num_columns = matrix.shape
    ax.set_xticks([column + 0.5 for column in range(num_columns - 1)], minor=True)
    ax.set_yticks([row + 0.5 for row in range(num_rows - 1)], minor=True)
    ax.grid(which="minor", color=_GRID_COLOR, linewidth=1)
    ax.tick_params(which="minor", length=0)
    return image


def write_values(ax: Any, image: Any) -> None:
    """Writes its number into each cell of an image, in black or white, whichever is legible."""
    values = np.ma.getdata(image.get_array())
    colors = image.cmap(image.norm(image.get_array()))
    for (row, column), value in np.ndenumerate(values):
        color = _legible_on(colors[row, column])
        ax.text(column, row, f"{value:z.2f}", ha="center", va="center", color=color, fontsize=8)


def _legible_on(color: Any) -> Any:
    """Returns black or white, whichever has the higher contrast in the sense of WCAG 2."""
    channels = np.asarray(color[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def add_colorbar(ax: Any, image: Any, label: Any) -> None:
    """Explains the colors of an image."""
    ax.figure.colorbar(image, ax=ax, label=label, fraction=0.05, pad=0.02, aspect=25)


def layer_labels(layers: Any) -> list[Any]:
    """Returns how to call layers: `allocation_2` decides, `stitch_2` mixes in layer 2."""
    names = [layer.name.removeprefix("allocation_").removeprefix("stitch_") for layer in layers]
    return [f"layer {name}" for name in names]


def separate_layers(ax: Any, labels: Any, sizes: Any, axis: str = "x") -> None:
    """Draws lines between layers that stand side by side, and writes their names.

    Components are numbered from 1 within their layer.

    Args:
        labels: Names of the layers.
        sizes: Their numbers of components.
        axis: `"x"` for layers from left to right, named above; `"y"` for layers from top
            to bottom, named at the right. Defaults to `"x"`.
    """
    ends = list(itertools.accumulate(sizes))
    centers = [end - (size + 1) / 2 for end, size in zip(ends, sizes, strict=True)]
    numbers = [number for size in sizes for number in range(1, size + 1)]
    across = axis == "x"
    for end in ends[:-1]:
        (ax.axvline if across else ax.axhline)(end - 0.5, color="black", linewidth=2)
    ax.set(**{f"{axis}ticks": range(len(numbers)), f"{axis}ticklabels": numbers})
    ax.set(**{f"{axis}label": "component"})
    beside = ax.secondary_xaxis("top") if across else ax.secondary_yaxis("right")
    beside.set(**{f"{axis}ticks": centers, f"{axis}ticklabels": labels})
    beside.tick_params(length=0)
