"""SENS PMP probes on RS-485. Experimental: see docs/devices/other-gauges.md."""
