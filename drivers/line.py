"""One shared wire: who has the next turn, when a lost port is opened again, what is reported once.

Pure of threads: ``Line.turn`` is one plain function that the agent's line thread calls for ever.
"""
