"""The Dipstick, a tank gauge that nobody sells: an example of a driver from another package."""
