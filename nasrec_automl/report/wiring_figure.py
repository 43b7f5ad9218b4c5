"""An architecture as a plotly figure, for places that show nothing else: the same picture, as its background."""

from __future__ import annotations

from base64 import b64encode

import plotly.graph_objects as go

from nasrec_automl.architecture import Architecture
from nasrec_automl.report.style import styled
from nasrec_automl.report.wiring import wiring_svg

_HEIGHT = 440


def wiring_figure(architecture: Architecture) -> go.Figure:
    """The architecture's wiring. It has no traces: the picture is a layout image that fills the plot."""
    picture = b64encode(wiring_svg(architecture).encode()).decode()
    figure = go.Figure()
    figure.add_layout_image(
        source=f"data:image/svg+xml;base64,{picture}",
        x=0,
        y=1,
        sizex=1,
        sizey=1,
        xref="paper",
        yref="paper",
        sizing="contain",
        layer="above",
    )
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return styled(figure, height=_HEIGHT).update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})
