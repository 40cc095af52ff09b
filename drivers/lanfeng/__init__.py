"""Lanfeng (Wenzhou) dispensers, RS-422, fixed frames of 12 bytes. Experimental: see docs/devices/lanfeng.md."""
