"""Trying a rule set without a station: one case evaluated, or a script of events played on an empty ledger in memory.

Knows the domain and its functions alone: no database, no daemon, no clock. The formats are described in
docs/rehearsal.md.
"""
