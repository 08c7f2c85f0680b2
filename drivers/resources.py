"""The transport that a resource name stands for."""

from __future__ import annotations

import re

from physnet.errors import InputError

from .serial_transport import SerialOptions, SerialTransport
from .socket_transport import SocketTransport, parse_socket_resource
from .transport import Transport
from .visa_transport import VisaTransport

_SERIAL = re.compile(r"ASRL(.+?)(::INSTR)?", re.IGNORECASE)


def transport_for(resource: str, *, backend: str = "", serial: SerialOptions | None = None) -> Transport:
    """Return the transport of a resource, closed.

    Sockets and serial ports have transports of their own, faster and with deadlines that hold; all else goes through
    VISA.

    Args:
        resource: A VISA name: `TCPIP::192.0.2.5::5025::SOCKET`, `USB0::...::INSTR`, `GPIB0::7::INSTR`, `ASRL3::INSTR`,
            `ASRL/dev/ttyUSB0::INSTR`.
        backend: VISA library, as pyvisa names it: empty for the installed one, `@py` for pyvisa-py.
        serial: How a serial port is set up.

    Raises:
        InputError: It is no such name.
    """
    name = resource.strip()
    if parse_socket_resource(name):
        return SocketTransport(name)
    if found := _SERIAL.fullmatch(name):
        return SerialTransport(f"COM{found[1]}" if found[1].isdigit() else found[1], serial)
    if "::" not in name:
        raise InputError(
            f"resource must be a VISA name such as 'TCPIP::192.0.2.5::5025::SOCKET' or 'ASRL/dev/ttyUSB0::INSTR', got "
            f"{resource!r}. `pyvisa-info` and the vendor's tools list what is connected."
        )
    return VisaTransport(name, backend=backend)
