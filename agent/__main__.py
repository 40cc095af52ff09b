"""``python -m agent``: the console script ``forecourt`` for those who have no script, the demo among them."""

from agent.main import entry

entry()
