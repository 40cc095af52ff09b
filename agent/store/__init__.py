"""The station's database: the only files of the agent that touch SQLite."""
