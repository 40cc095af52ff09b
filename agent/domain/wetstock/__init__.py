"""Wetstock: what is in the tanks, what came in and went out, and what is wrong with it."""
