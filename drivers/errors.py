"""One tree of errors; the class says who is at fault and whether a retry makes sense.

```
DriverError
|-- PortLost        the port or socket itself is gone; the line reopens it           retry
|-- DeviceSilent    nothing answered in time                                         retry
|-- FrameRejected   the peer spoke nonsense: checksum, length, layout                retry
|-- DeviceRefused   a valid "no"                                                     do not retry by itself
|-- WiringError     configuration or cabling is wrong; a person must act             do not retry by itself
```
Every error carries ``hint``: one sentence that says what to do.
"""

from __future__ import annotations


class DriverError(Exception):
    """Base of all errors a driver may raise. ``hint`` tells a person what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class PortLost(DriverError):
    """The port has gone.

    Example scenarios: the USB adapter was pulled; the peer of a TCP tunnel closed; the device file does not exist.
    """


class DeviceSilent(DriverError):
    """Nothing answered within the protocol's window.

    Example scenarios: the dispenser is switched off; the address is wrong; a gauge wants a security code.
    """


class FrameRejected(DriverError):
    """The peer's bytes are not a valid frame, or valid but impossible. ``reason`` is a short stable word for counters.

    Example scenarios: a wrong checksum after noise; a reply cut in half; a BCD nibble above 9.
    """

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class DeviceRefused(DriverError):
    """The device understood and said no.

    Example scenarios: AUTHORIZE in a state that does not allow it; a gauge that does not know a function.
    """


class WiringError(DriverError):
    """Configuration or cabling is wrong and no retry will mend it.

    Example scenarios: an option that the driver does not know; an echoing adapter; two devices with one address.
    """
