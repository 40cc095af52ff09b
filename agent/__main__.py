"""Where every ``forecourt`` begins, the script and ``python -m agent``: looks and ``run`` load only what they need."""

import sys

from agent import crashes


def entry() -> None:
    """The console script ``forecourt``."""
    crashes.install()
    try:
        from agent.cli.quick import answered

        if answered(sys.argv[1:]):
            return
        from agent.launch import started

        if started(sys.argv[1:]):
            return
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    from agent.main import entry as whole

    whole()


if __name__ == "__main__":
    entry()
