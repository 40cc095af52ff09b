"""The command ``forecourt demo``: a whole simulated station in separate processes, with a closing count at the end.

Knows how to start, watch and end processes. Knows nothing of the inside of any of them: it asks sockets and databases.
"""
