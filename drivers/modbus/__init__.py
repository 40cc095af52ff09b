"""Modbus devices described by register maps: what a register means stands in a map file, not in code."""
