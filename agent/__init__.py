"""What it means: sales, members, points, stock and people at one station."""

__version__ = "0.1.0"
