"""The table of the members' 1,024 buckets, beside the others in ``schema``."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, Table

from headoffice.store.schema import BIG, metadata

member_bucket = Table(
    "member_bucket",
    metadata,
    Column("bucket", BIG, primary_key=True, autoincrement=False),
    Column("op", BIG, nullable=False),
    Column("members", BIG, nullable=False),
    Column("sum", LargeBinary, nullable=True),
    Column("frame", LargeBinary, nullable=True),
)
"""One of the 1,024 parts of the members: its last change, sum and packed form, null where those are to be made."""
