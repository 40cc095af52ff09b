"""H-protocol of Hectronic tank gauges (OPTILEVEL, HLS). Experimental: see docs/devices/other-gauges.md."""
