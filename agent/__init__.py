"""What it means: sales, members, points, stock and people at one station."""
