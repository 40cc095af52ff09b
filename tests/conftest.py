"""What holds for every test: property tests are judged by what they find, never by how long a busy machine takes."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("suite", deadline=None, print_blob=True)
settings.load_profile("suite")
