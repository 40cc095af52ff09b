"""``forecourt device``: read a device, decode bytes, record a line, replay a recording. No daemon, no configuration.

Everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from agent.cli import device_args as given
from agent.cli.app import app
from agent.cli.talk import JsonOption, fail, print_json

if TYPE_CHECKING:
    from agent.field.recording import Chunk, Recorder
    from drivers.config import SerialSettings
    from drivers.errors import DriverError

device = typer.Typer(
    help="Field tools: read one device, decode bytes, record a line, replay a recording.", no_args_is_help=True
)
app.add_typer(device, name="device")

ProtocolOption = Annotated[str, typer.Option("--protocol", help="As in the station file: dart, modbus, ...")]
BaudrateOption = Annotated[
    int | None, typer.Option("--baudrate", min=50, max=4_000_000, help="Default: the protocol's.")
]
ParityOption = Annotated[str | None, typer.Option("--parity", help="none, even or odd.")]
DataBitsOption = Annotated[int | None, typer.Option("--data-bits", min=5, max=8)]
MemberCodesOption = Annotated[
    bool,
    typer.Option("--with-member-codes", help="Record a reader of member codes all the same: 60 minutes at the most."),
]
StopBitsOption = Annotated[int | None, typer.Option("--stop-bits", min=1, max=2)]


@device.command("read")
def device_read(
    protocol: ProtocolOption,
    port: Annotated[str, typer.Option("--port", help="/dev/ttyUSB0 or socket://HOST:PORT.")],
    address: Annotated[str | None, typer.Option("--address", help="Of a dispenser: 0x50 to 0x6F.")] = None,
    baudrate: BaudrateOption = None,
    parity: ParityOption = None,
    data_bits: DataBitsOption = None,
    stop_bits: StopBitsOption = None,
    option: Annotated[list[str] | None, typer.Option("--option", help="KEY=VALUE of the driver; repeat it.")] = None,
    nozzles: Annotated[str, typer.Option("--nozzles", help="Whose totals to ask, such as 1,2,3.")] = "1",
    decimals: Annotated[
        str | None, typer.Option("--decimals", help="VOLUME,AMOUNT,PRICE of the display: 2,2,3.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="How long at the most.")] = "10s",
    search: Annotated[bool, typer.Option("--scan", help="Try addresses and line settings, tell who answers.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="Write what went over the wire to this file.")] = None,
    with_member_codes: MemberCodesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read one device once, and say what is wrong when it does not answer. Sends nothing that changes a device."""
    from agent.field.reading import Request, read
    from agent.field.traffic import Traffic
    from drivers.errors import PortLost, WiringError

    serial = given.serial(baudrate, parity, data_bits, stop_bits)
    traffic = Traffic()
    try:
        driver = given.driver(protocol)
        if record is not None:
            given.refuse_member_codes(driver, [port], allowed=with_member_codes)
        if search:
            _scan(protocol, port, serial, given.address(address), traffic, as_json=as_json)
            return
        request = Request(
            protocol,
            port,
            serial,
            given.address(address),
            given.options(driver, option or []),
            given.numbers(nozzles, "--nozzles 1,2"),
            given.seconds(timeout),
        )
        places = None if decimals is None else given.decimals(decimals)
        result = read(request, traffic)
    except PortLost as error:
        _refuse(error, 3, as_json=as_json)
    except WiringError as error:
        _refuse(error, 2, as_json=as_json)
    finally:
        if record is not None and traffic.chunks:
            _keep(record, traffic.chunks, protocol, port, serial)
    from agent.cli import device_show as show

    value = show.reading_json(request, result, places)
    if as_json:
        print_json(value)
    elif result.finding is None:
        show.reading(value)
    if result.finding is not None:
        if as_json:
            raise typer.Exit(3)
        fail(f"{result.finding.message} [{result.finding.cause}]", result.finding.hint, 3)


def _scan(
    protocol: str, port: str, serial: SerialSettings, address: int | None, traffic: Any, *, as_json: bool
) -> None:
    """Print who answers; exit 3 with the likely cause when nobody does."""
    from agent.cli import device_show as show
    from agent.field.diagnosis import Asked, diagnose
    from agent.field.scan import scan
    from drivers import registry

    progress: Callable[[str], None] = lambda _text: None  # noqa: E731
    if not as_json and sys.stderr.isatty():
        progress = _to_stderr
    found = scan(protocol, port, serial, traffic, address, progress=progress)
    driver = registry.spec(protocol)
    finding = None
    if not found:
        asked = Asked(protocol, port, address, driver.kind, "every usual setting")
        finding = diagnose(asked, registry.field_kit(driver), traffic)
    value = show.scan_json(protocol, port, found, finding)
    if as_json:
        print_json(value)
    else:
        show.scan(value)
    if finding is not None:
        if as_json:
            raise typer.Exit(3)
        fail(finding.message, finding.hint, 3)


def _to_stderr(text: str) -> None:
    print(f"trying {text} ...", file=sys.stderr)


@device.command("decode")
def device_decode(
    file: Annotated[Path | None, typer.Argument(help="Hex dump or recording; - is the standard input.")] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="auto guesses.")] = "auto",
    dump: Annotated[str | None, typer.Option("--hex", help='Bytes here, such as "51 20 FA".')] = None,
    direction: Annotated[str | None, typer.Option("--direction", help="Who sent them: master or device.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Take bytes apart field by field: hex in any common form, or a recording. No byte is left out."""
    from agent.cli import device_show as show
    from agent.field.decoding import decode, guess, kit_of
    from agent.field.recording import Chunk, load, looks_like
    from drivers.errors import WiringError

    sender = given.direction(direction)
    text = _input(file, dump)
    try:
        recording = load(text) if dump is None and looks_like(text) else None
        chunks = recording.chunks if recording else (Chunk(0, "?", _hex(text)),)
        named = protocol if protocol != "auto" else (recording.protocol if recording else "") or guess(chunks)
        if not named:
            fail("these bytes look like no known protocol", "name one with --protocol", 1)
        told = decode(chunks, kit_of(named), sender)
    except WiringError as error:
        fail(str(error), error.hint, 2)
    except ValueError as error:
        fail(f"{file or '--hex'}: {error}", getattr(error, "hint", ""), 2)
    value = show.decode_json(named, told, recording)
    if as_json:
        print_json(value)
    else:
        show.decoded(value)


@device.command("tap")
def device_tap(
    out: Annotated[Path, typer.Option("--out", help="The recording; must not exist yet.")],
    port: Annotated[str | None, typer.Option("--port", help="One wire with both sides on it.")] = None,
    port_a: Annotated[str | None, typer.Option("--port-a", help="Hears the master; with --port-b.")] = None,
    port_b: Annotated[str | None, typer.Option("--port-b", help="Hears the device; with --port-a.")] = None,
    middle: Annotated[
        tuple[str, str] | None,
        typer.Option("--between", help="MASTER DEVICE: stand between; MASTER is pty, tcp or tcp:PORT."),
    ] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="Decode live; its line settings are the default.")] = "",
    baudrate: BaudrateOption = None,
    parity: ParityOption = None,
    data_bits: DataBitsOption = None,
    stop_bits: StopBitsOption = None,
    duration: Annotated[str | None, typer.Option("--for", help="End after this long, such as 10min.")] = None,
    with_member_codes: MemberCodesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Record a live line. Listens without ever writing, or stands in the middle and passes every byte on unchanged."""
    from agent.cli import device_show as show
    from agent.field.decoding import kit_of
    from agent.field.tap import Tape, between, listen
    from drivers.config import LineConfig, SerialSettings
    from drivers.errors import PortLost, WiringError
    from drivers.served import serve

    ports = _tapped(port, port_a, port_b, middle)
    serial = given.serial(baudrate, parity, data_bits, stop_bits)
    try:
        found = given.driver(protocol) if protocol else None
        reader = given.refuse_member_codes(found, list(ports.values()), allowed=with_member_codes)
        stop = given.until(duration, at_most_s=given.READER_TRACE_S if reader else None)
        live = None
        if found is not None and not as_json:
            live = show.Live(kit_of(protocol), hidden=found.kind == "code-reader")
        defaults = found.serial_defaults if found else SerialSettings()
        served = serve(middle[0]) if middle else None
        shown = ports if served is None else {"a": served.name, **ports}
        recorder = _recorder(out, shown, protocol, serial, defaults)
        lines = {side: LineConfig("tap", name, protocol, serial) for side, name in ports.items()}
        tape = Tape.start(recorder, live.chunk if live else _nothing)
        try:
            if served is not None:
                print(f"the master connects to {served.name}", file=sys.stderr, flush=True)
                between(served, lines["b"], defaults, tape, stop)
            else:
                listen(lines, defaults, tape, stop)
        finally:
            tape.note("?", "end")
            recorder.close()
            if served is not None:
                served.close()
            if live is not None:
                live.flush()
    except PortLost as error:
        _refuse(error, 3, as_json=as_json)
    except WiringError as error:
        _refuse(error, 2, as_json=as_json)
    value = {"file": str(out), "bytes": recorder.bytes}
    if as_json:
        print_json(value)
    else:
        counts = ", ".join(f"{count} from {side}" for side, count in sorted(recorder.bytes.items()))
        print(f"{out}: {counts or 'nothing was heard'}")


@device.command("replay")
def device_replay(
    file: Annotated[Path, typer.Argument(help="A recording made by tap.")],
    port: Annotated[str, typer.Option("--port", help="pty, tcp, tcp:PORT or tcp:HOST:PORT.")] = "pty",
    speed: Annotated[float, typer.Option("--speed", min=0.01, max=1000, help="How much faster than recorded.")] = 1.0,
    loose: Annotated[bool, typer.Option("--loose", help="Answer by request, not by sequence; until Ctrl-C.")] = False,
    protocol: Annotated[str, typer.Option("--protocol", help="Default: that of the recording.")] = "",
    duration: Annotated[str | None, typer.Option("--for", help="End after this long.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a recording as a device: recorded answers to recorded questions. Exit 1 at a question that differs."""
    from agent.field.decoding import guess, kit_of
    from agent.field.recording import NotARecording, load
    from agent.field.replay import Player, script
    from drivers.errors import PortLost, WiringError
    from drivers.served import serve

    stop = given.until(duration)
    try:
        recording = load(given.text(file))
        named = protocol or recording.protocol or guess(recording.chunks)
        kit = kit_of(named) if named else None
        exchanges = script(recording, kit, split=loose)
        served = serve(port)
    except NotARecording as error:
        fail(f"{file}: {error}", error.hint, 2)
    except PortLost as error:
        _refuse(error, 3, as_json=as_json)
    except WiringError as error:
        _refuse(error, 2, as_json=as_json)
    print(f"the device is at {served.name}", file=sys.stderr if as_json else sys.stdout, flush=True)
    player = Player(served, exchanges, speed, stop, kit)
    try:
        report = player.by_request() if loose else player.in_order()
    finally:
        served.close()
    value = {
        "exchanges": report.exchanges,
        "served": report.served,
        "mismatch": report.mismatch or None,
        "unmatched": report.unmatched,
    }
    if as_json:
        print_json(value)
    else:
        for line in report.unmatched:
            print(line)
        print(f"{report.served} answers given, {report.exchanges} exchanges recorded")
    if report.mismatch and not as_json:
        fail(report.mismatch, "another question than recorded; --loose answers by request", 1)
    if report.mismatch:
        raise typer.Exit(1)


def _refuse(error: DriverError, exit_code: int, *, as_json: bool) -> NoReturn:
    """End with the message of a port or of wrong usage."""
    if as_json and exit_code == 3:
        cause = "port-in-use" if type(error).__name__ == "PortInUse" else "port"
        print_json({"ok": False, "cause": cause, "message": str(error), "hint": error.hint, "evidence": {}})
        raise typer.Exit(exit_code)
    fail(str(error), error.hint, exit_code)


def _input(file: Path | None, dump: str | None) -> str:
    if (file is None) == (dump is None):
        fail("nothing to decode" if file is None else "a file and --hex", "give one of FILE, - or --hex", 2)
    if dump is not None:
        return dump
    return given.text(file) if file is not None else ""


def _hex(text: str) -> bytes:
    from agent.field.hexdump import parse

    return parse(text)


def _tapped(port: str | None, port_a: str | None, port_b: str | None, middle: tuple[str, str] | None) -> dict[Any, str]:
    given = sum((port is not None, port_a is not None or port_b is not None, middle is not None))
    if given != 1 or (port_a is None) != (port_b is None):
        fail("one way of listening is needed", "give --port, or --port-a and --port-b, or --between MASTER DEVICE", 2)
    if middle is not None:
        return {"b": middle[1]}
    return {"?": port} if port is not None else {"a": str(port_a), "b": str(port_b)}


def _recorder(
    out: Path, ports: dict[Any, str], protocol: str, serial: SerialSettings, defaults: SerialSettings
) -> Recorder:
    """A new recording at ``out``; its header says how the line was set."""
    import dataclasses
    from datetime import UTC, datetime

    from agent.field.recording import Recorder, header

    shown = {
        key: getattr(defaults, key) if value is None else value for key, value in dataclasses.asdict(serial).items()
    }
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        return Recorder(out, header(ports, protocol, shown, started))
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}", "name a new file in a folder that you may write", 2)


def _keep(out: Path, chunks: list[Chunk], protocol: str, port: str, serial: SerialSettings) -> None:
    recorder = _recorder(out, {"b": port}, protocol, serial, given.driver(protocol).serial_defaults)
    for chunk in chunks:
        recorder.chunk(chunk)
    recorder.close()


def _nothing(_chunk: Chunk) -> None:
    return
