"""Scanners that type as a keyboard, read by Linux evdev."""
