"""Aoke PD-3 tank gauges: their alarm records only. Experimental: see docs/devices/other-gauges.md."""
