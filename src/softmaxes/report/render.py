"""From evidence to one HTML page that needs nothing else."""

from __future__ import annotations

from softmaxes.report.evidence import Evidence

__all__ = ["render"]


def render(evidence: Evidence) -> str:
    """Return the report as one self-contained HTML document, the same for the same evidence."""
    return f"<!doctype html><html lang=en><title>{evidence.title}</title><h1>{evidence.title}</h1></html>"
