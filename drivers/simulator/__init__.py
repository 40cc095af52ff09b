"""A virtual forecourt: dispensers, tank gauge and code readers on real ptys and TCP ports, with its own truth on the
side.

Shipped for the demonstration and for training. Imports nothing else of ours: its encoders are written from the protocol
sheets a second time, on purpose, so that a mistake in a driver cannot hide behind the same mistake here.
"""
