"""Field tools for whoever stands before an unknown wire: read, decode, tap, replay. Knows drivers, no station."""
