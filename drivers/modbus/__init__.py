"""Modbus: register maps, the wire, and the devices made of both."""
