"""Kinds of stations and customers that several scenarios share."""

from __future__ import annotations

from drivers.simulator.config import CustomerConfig
from tests.support.station_settings import Plan

NOBODY = CustomerConfig(gap_mean_ms=10**9, gap_max_ms=10**9)
"""No customer ever comes: the test moves nozzles itself."""

HASTY = CustomerConfig(
    gap_mean_ms=500,
    gap_max_ms=1_000,
    arrive_max_ms=1_500,
    target_min_ml=500,
    target_max_ml=1_500,
    dwell_max_ms=800,
    scan_after_max_ms=2_500,
    members=1_000,
    zero_lifts=100,
    wrong_codes=100,
    patience_min_ms=4_000,
    patience_max_ms=7_000,
    opening_s=4,
)
"""Small sales one after the other, everybody a member."""

QUIET_HOUR = CustomerConfig(gap_mean_ms=60_000, gap_max_ms=240_000, arrive_max_ms=8_000, scan_after_max_ms=15_000)
"""A car every minute or so at each point."""


def by_hand(
    *, settle: str = "auto", control: str = "auto", has_head_office: bool = False, pump_rollback: bool = False
) -> Plan:
    """A station where the test is the only customer."""
    return Plan(
        settle=settle,
        control=control,
        customers=NOBODY,
        has_head_office=has_head_office,
        poll_ms=400,
        pump_rollback=pump_rollback,
    )


def busy(*, has_head_office: bool = False, settle: str = "auto") -> Plan:
    """A station with hasty customers whose linked sales are settled soon."""
    return Plan(settle=settle, customers=HASTY, has_head_office=has_head_office, settle_after="5s")
