"""What tests of the report share."""

import pytest

from dirjax.report.figures import style


@pytest.fixture
def no_png(monkeypatch):
    """Renders figures once, as SVG."""
    monkeypatch.setattr(style, "png", lambda figure: b"")


@pytest.fixture
def quick(monkeypatch, no_png):
    """Draws figures but does not render them, for tests of words and numbers."""
    monkeypatch.setattr(style, "svg", lambda figure, name, alt: "<svg></svg>")
