"""What the figures share: plotly, which is optional, and their looks."""

BLUE, ORANGE = "#3578e5", "#d9630a"  # at least 3:1 against the light and the dark page
SEQUENTIAL = [[0.0, "#f2f5fa"], [0.35, "#9fc0f0"], [0.7, "#3f7fdc"], [1.0, "#0c3c8c"]]


def graph_objects():
    """The module `plotly.graph_objects`, imported when the first figure is drawn.

    Raises:
        ImportError: plotly is not installed.
    """
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise ImportError(
            "figures and reports need plotly: pip install 'keras-transformer-zoo[recipes]'"
        ) from error
    return plotly.graph_objects


def layout(**settings) -> dict:
    """The layout of every figure: no background of its own, so that it sits on any page."""
    return {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "margin": {"l": 60, "r": 16, "t": 16, "b": 48},
        **settings,
    }


def plain(text: str) -> str:
    """Text that plotly shows as it is: it would take <b> and the like for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") or " "
