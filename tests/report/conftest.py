"""Fixtures of report tests."""

import pytest

from dirjax.report.figures import style


@pytest.fixture
def no_png(monkeypatch):
    """Renders figures only as SVG."""
    monkeypatch.setattr(style, "png", lambda figure: b"")


@pytest.fixture
def quick(monkeypatch, no_png):
    """Draws figures without rendering them, for tests of text and numbers."""
    monkeypatch.setattr(style, "svg", lambda figure, name, alt: "<svg></svg>")
