"""The composition root: registers ``run`` and ``demo`` beside the commands of ``agent.cli``; imports parts late."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from agent.cli import application
from agent.cli.talk import DEFAULT_CONFIG, fail
from agent.domain.redaction import redact

app = application()


@app.command()
def run(
    config: Annotated[
        Path, typer.Option("--config", envvar="FORECOURT_CONFIG", help="Configuration of the station.")
    ] = DEFAULT_CONFIG,
) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C."""
    from agent.launch import run as launch

    raise typer.Exit(launch(config))


@app.command()
def demo(
    duration: Annotated[
        str | None, typer.Option("--for", help="End by itself after this long, such as 40s or 5min.")
    ] = None,
    speed: Annotated[int, typer.Option("--speed", min=1, max=100, help="How much faster than real time.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed gives another day.")] = 1,
    state: Annotated[Path | None, typer.Option("--state", help="Directory for everything the demo writes.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", help="Inject a fault by name; may be repeated; list shows them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Run a whole simulated station on real wires: pumps, gauge, scanners, agent, broker and head office."""
    from agent.demo.options import DemoRefused, demo_options

    try:
        options = demo_options(
            duration=duration, speed=speed, seed=seed, state=state, faults=fault or [], as_json=as_json
        )
    except DemoRefused as failure:
        fail(str(failure), failure.hint, 2)
    from agent.demo.run import run_demo

    raise typer.Exit(run_demo(options))


def entry() -> None:
    """Run the whole command line; a complaint about the words typed never repeats a member's code or number."""
    try:
        code = app(standalone_mode=False)
    except TyperException as wrong:
        sys.stderr.write(_complaint(wrong))
        sys.exit(wrong.exit_code)
    except typer.Abort:
        sys.stderr.write("Aborted.\n")
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _complaint(wrong: Any) -> str:
    """Return what the library would print; how it does, its exceptions know and its types do not say."""
    told = io.StringIO()
    wrong.show(file=told)
    return redact(told.getvalue().rstrip()) + "\n"
