"""Alembic migrations of the station's database, run by ``agent.store.migrate``."""
