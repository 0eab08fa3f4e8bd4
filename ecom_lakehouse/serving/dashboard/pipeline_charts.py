"""The chart of slices through the layers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

import altair as alt
import pandas as pd

from ecom_lakehouse.serving.dashboard.kpi_data import Row
from ecom_lakehouse.serving.dashboard.palette import Palette
from ecom_lakehouse.serving.dashboard.words import moment, parsed

LAYERS = ("bronze", "silver", "gold")
HEIGHT = 260


def seconds_chart(slices: Sequence[Row], zone: tzinfo, colours: Palette) -> alt.Chart:
    """A bar a slice, the oldest left: the seconds that each layer took, one upon the other."""
    parts = [
        (one, layer) for one in reversed(slices) for layer in LAYERS if one["seconds"][layer] is not None
    ]
    frame = pd.DataFrame(
        {
            "slice": [str(one["slice_id"]) for one, _ in parts],
            "layer": [layer.capitalize() for _, layer in parts],
            "place": [LAYERS.index(layer) for _, layer in parts],
            "seconds": pd.Series([one["seconds"][layer] for one, layer in parts], dtype="float64"),
            "shown": [f"{one['seconds'][layer]:,.2f} s" for one, layer in parts],
            "when": [moment(parsed(one["planned_at"]), zone) for one, _ in parts],
        }
    )
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            alt.X(
                "slice:O",
                sort=None,
                axis=alt.Axis(title=None, labelAngle=0, labelOverlap=True, ticks=False),
                scale=alt.Scale(paddingInner=0.25),
            ),
            alt.Y(
                "seconds:Q",
                axis=alt.Axis(title=None, format="~g", tickCount=5, gridColor=colours.grid, domain=False),
            ),
            color=alt.Color(
                "layer:N",
                scale=alt.Scale(domain=[layer.capitalize() for layer in LAYERS], range=list(colours.layers)),
                legend=alt.Legend(title=None, orient="top", symbolType="square"),
            ),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("slice:N", title="Slice"),
                alt.Tooltip("when:N", title="Planned"),
                alt.Tooltip("layer:N", title="Layer"),
                alt.Tooltip("shown:N", title="Took"),
            ],
        )
        .properties(height=HEIGHT)
    )
    return chart
