"""The single writer: take one item, call the pure step, commit once, then act."""

from agent.pipeline.core import Pipeline

__all__ = ["Pipeline"]
