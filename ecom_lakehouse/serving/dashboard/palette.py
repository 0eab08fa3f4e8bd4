"""The dashboard's few colours: one accent, and one for each state, in a light and a dark set.

A colour never stands alone: wherever it says something, a word or a shape says it too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours as CSS takes them."""

    accent: str
    band: str
    muted: str
    grid: str
    good: str
    warn: str
    critical: str
    layers: tuple[str, str, str]
    shares: tuple[str, str, str]

    def as_css(self) -> str:
        """The colours that a style sheet needs, as its variables."""
        names = ("accent", "muted", "band", "warn", "critical")
        return " ".join(f"--key-{name}: {getattr(self, name)};" for name in names)


LIGHT = Palette(
    accent="#1f5fbf",
    band="#bcd2ef",
    muted="#6b7785",
    grid="#e8ebef",
    good="#1a7f4b",
    warn="#b45f06",
    critical="#c0303f",
    layers=("#a9744f", "#8a97a6", "#c79a1b"),
    shares=("#eef2f6", "#efb36b", "#c0303f"),
)
DARK = Palette(
    accent="#6aa9f4",
    band="#2b4a70",
    muted="#93a0b0",
    grid="#262e39",
    good="#4fc38a",
    warn="#eda445",
    critical="#ff7d88",
    layers=("#cf9a73", "#a9b6c6", "#e5c053"),
    shares=("#222a34", "#b9782f", "#ff7d88"),
)


def palette(theme: str | None) -> Palette:
    """The set for Streamlit's theme type, `light` or `dark`; light while it is not known."""
    return DARK if theme == "dark" else LIGHT
