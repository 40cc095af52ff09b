"""Properties of linking under any interleaving: one active link per sale, one end per scan, monotonic windows, replay."""

import json
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.answers import Outcome
from agent.domain.identity import AuthLevel
from agent.domain.instant import Now
from agent.domain.link_memory import durable, restore
from agent.domain.link_records import (
    Answer,
    Claim,
    ClaimRequested,
    ControlScanned,
    CorrectionRequested,
    CorrectLink,
    Credential,
    FlowSeen,
    HungZero,
    LinkDesk,
    LinkEffect,
    LinkEvent,
    LinkRequested,
    LinkSale,
    MemberScanned,
    NozzleLifted,
    PendingEnded,
    PendingSaved,
    PendingState,
    PointChosen,
    Reader,
    ReleaseRequested,
    Role,
    SaleBooked,
    SaleStateChanged,
    Ticked,
    open_desk,
)
from agent.domain.link_windows import Windows
from agent.domain.linking import step
from agent.domain.sale import SaleKind, SaleState
from agent.pipeline.memory import DeskText
from tests.support.examples import tries

WALL, MONO = 1_795_305_600_000, 1_000_000
READERS = (
    Reader("P1", (1,)),
    Reader("P2", (2,)),
    Reader("ROAM", (1, 2)),
    Reader("H07", (1, 2), claims=True),
    Reader("H08", (1, 2), claims=True),
)
MEMBERS = ("00000000000000a1", "00000000000000a2", "00000000000000a3")
ATTENDANTS = ("A1", "A2", None)

POINTS = st.sampled_from((1, 2))
SALES = st.integers(1, 4).map(lambda number: f"sale-{number}")
NOZZLES = st.sampled_from((1, 2))
STARTS = st.integers(0, 3).map(lambda raw: f"0:{raw}")
READER_IDS = st.sampled_from(("P1", "P2", "ROAM", "H07", "H08"))
CODES = st.none() | st.integers(1, 4).map(lambda number: f"code-{number}")


def credential(
    number: int, reader: str, attendant: str | None, member: str, level: AuthLevel, code: str | None
) -> Credential:
    return Credential(f"S{number}", reader, attendant, MEMBERS[0] if code else member, level, code)


WHO = st.builds(
    credential,
    st.integers(1, 30),
    READER_IDS,
    st.sampled_from(ATTENDANTS),
    st.sampled_from(MEMBERS),
    st.sampled_from(list(AuthLevel)),
    CODES,
)
SCANS = WHO.map(lambda who: MemberScanned(who.scan_id, who.reader, f"{who.member}{who.code}", who))
AIMED = st.builds(lambda scan, sale: replace(scan, text_digest=None, sale=sale), SCANS, SALES)
EVENTS = st.one_of(
    SCANS,
    SCANS,
    SCANS,
    AIMED,
    st.builds(ClaimRequested, SALES, READER_IDS, st.sampled_from(ATTENDANTS)),
    st.builds(ReleaseRequested, SALES, READER_IDS, st.sampled_from(ATTENDANTS), st.sampled_from(list(Role))),
    st.builds(ControlScanned, READER_IDS, POINTS | st.none()),
    st.builds(PointChosen, READER_IDS, st.just("A1"), POINTS, SALES | st.none(), st.none(), st.booleans()),
    st.integers(1, 30).flatmap(
        lambda n: st.builds(PointChosen, READER_IDS, st.just("A1"), POINTS, pending=st.just(f"S{n}"))
    ),
    st.builds(LinkRequested, SALES, WHO, st.just("S9"), st.sampled_from(list(Role)), st.sampled_from(("", "receipt"))),
    st.builds(NozzleLifted, POINTS, NOZZLES, STARTS),
    st.builds(NozzleLifted, POINTS, NOZZLES, STARTS),
    st.builds(FlowSeen, POINTS),
    st.builds(HungZero, POINTS, NOZZLES),
    st.builds(
        SaleBooked,
        SALES,
        POINTS,
        NOZZLES,
        st.sampled_from(list(SaleKind)),
        STARTS,
        st.sampled_from((0, 0, 2_000, 90_000, 700_000)),
        st.integers(1, 2),
    ),
    st.builds(SaleStateChanged, SALES, st.sampled_from(list(SaleState)), READER_IDS | st.none()),
    st.builds(
        CorrectionRequested, SALES, WHO | st.none(), st.just("S9"), st.sampled_from(list(Role)), st.just("wrong_member")
    ),
    st.just(Ticked()),
)
WAITS_MS = st.sampled_from((0, 500, 1_000, 4_000, 4_000, 12_000, 12_000, 40_000, 70_000, 200_000))
SCRIPTS = st.lists(st.tuples(EVENTS, WAITS_MS), min_size=8, max_size=50)
"""SaleBooked in a script carries the age of its end; ``played`` turns it into wall time."""

Script = list[tuple[LinkEvent, int]]
Told = list[tuple[LinkEffect, ...]]


def fresh() -> LinkDesk:
    return open_desk(READERS, Windows(), "boot-1", Now(WALL, MONO))


def played(
    script: Script, *, crash_after: int | None = None, replay: bool = False, wall_steps: list[int] | None = None
) -> tuple[LinkDesk, Told]:
    """Run a script; optionally restart after an event and hand that event in again. Returns desk and all effects."""
    desk, effects, mono, written = fresh(), [], MONO, DeskText()
    for index, (scripted, wait_ms) in enumerate(script):
        mono += wait_ms
        wall = WALL + mono - MONO + (wall_steps[index % len(wall_steps)] if wall_steps else 0)
        now = Now(wall, mono)
        event = replace(scripted, ended_ms=wall - scripted.ended_ms) if isinstance(scripted, SaleBooked) else scripted
        desk, told = step(desk, event, now)
        effects.append(told)
        assert json.loads(written.of(desk)) == json.loads(json.dumps(durable(desk)))
        if crash_after == index:
            data = json.loads(json.dumps(durable(desk)))
            claims = desk.claims  # they are kept by the store, row by row
            desk = restore(data, readers=READERS, windows=Windows(), now=now, clock="ntp", boot="boot-1")
            desk = replace(desk, claims=claims)
            if replay:
                desk, again = step(desk, event, now)
                assert [e for e in again if isinstance(e, (LinkSale, CorrectLink, PendingEnded))] == []
    return desk, effects


def active_links(effects: Told) -> dict[str, str]:
    """Fold link effects as the store would; fails where a second active link would appear."""
    active: dict[str, str] = {}
    for told in effects:
        for effect in told:
            if isinstance(effect, CorrectLink):
                assert active.pop(effect.sale) == effect.old_member
            elif isinstance(effect, LinkSale):
                assert effect.sale not in active, "two active links on one sale"
                active[effect.sale] = effect.member
    return active


@settings(max_examples=tries(80), deadline=None)
@given(SCRIPTS)
def test_at_most_one_active_link_per_sale(script):
    """However events interleave, a sale never has two active links, and the desk agrees with its effects."""
    desk, effects = played(script)
    assert active_links(effects) == {s.id: s.link.who.member for s in desk.sales.values() if s.link is not None}


@settings(max_examples=tries(80), deadline=None)
@given(SCRIPTS)
def test_every_pending_link_ends_exactly_once(script):
    """Every stored scan ends once; what has not ended is on the desk, and only LIVE ones outlast all windows."""
    desk, effects = played(script)
    started = {e.pending.id for told in effects for e in told if isinstance(e, PendingSaved)}
    ended = Counter(e.id for told in effects for e in told if isinstance(e, PendingEnded))
    assert set(ended.values()) <= {1}
    assert started - set(ended) == set(desk.pending)
    assert set(ended) <= started
    later = Now(desk.seen.wall_ms, desk.seen.mono_ms + 10**9)
    desk, _ = step(desk, Ticked(), later)
    assert {pending.state for pending in desk.pending.values()} <= {PendingState.LIVE}


@settings(max_examples=tries(80), deadline=None)
@given(SCRIPTS)
def test_one_waiting_or_live_member_per_point_and_fuelling(script):
    """No point has two members for the same fuelling, and a reader has one unplaced scan at most."""
    desk, _ = played(script)
    places = Counter((p.point, p.nozzle, p.start) for p in desk.pending.values() if p.point is not None)
    assert set(places.values()) <= {1}
    unplaced = Counter(p.who.reader for p in desk.pending.values() if p.state is PendingState.AWAIT_POINT)
    assert set(unplaced.values()) <= {1}


@settings(max_examples=tries(80), deadline=None)
@given(SCRIPTS, st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=5))
def test_windows_do_not_see_wall_steps(script, wall_steps):
    """Steps of the wall clock change neither what is linked nor when anything expires."""
    calm_desk, calm = played(script)
    torn_desk, torn = played(script, wall_steps=wall_steps)
    assert [_outline(told) for told in calm] == [_outline(told) for told in torn]
    assert set(calm_desk.pending) == set(torn_desk.pending)


def _outline(told: tuple[LinkEffect, ...]) -> list[tuple[object, ...]]:
    return [
        (type(e).__name__, getattr(e, "id", None), getattr(e, "how", None), getattr(e, "outcome", None)) for e in told
    ]


@settings(max_examples=tries(80), deadline=None)
@given(SCRIPTS, st.integers(0, 39))
def test_a_crash_after_any_commit_gives_the_same_links(script, crash_after):
    """Restarting after any event changes no link and no end, duplicates within three seconds apart."""
    spaced = [(event, wait + 3_001) for event, wait in script]
    _, calm = played(spaced)
    _, torn = played(spaced, crash_after=crash_after)
    assert calm == torn


@settings(max_examples=tries(80), deadline=None)
@given(
    st.lists(
        st.tuples(st.one_of(SCANS, *[st.builds(NozzleLifted, POINTS, NOZZLES, STARTS)]), st.integers(0, 9_000)),
        max_size=25,
    ),
    st.integers(0, 24),
)
def test_a_scan_handed_in_again_after_a_crash_links_nothing_twice(script, crash_after):
    """The event whose answer was lost is repeated after the restart: no second link, no end, no new commit of one."""
    desk, effects = played(script, crash_after=crash_after, replay=True)
    assert active_links(effects).keys() <= desk.sales.keys()


@settings(max_examples=tries(80), deadline=None)
@given(SCRIPTS)
def test_every_sale_is_known_whatever_the_readers_do(script):
    """No scan keeps a sale from being stored, and each first booking is on the desk."""
    desk, _ = played(script)
    assert {event.sale for event, _ in script if isinstance(event, SaleBooked)} == set(desk.sales)


@settings(max_examples=tries(80), deadline=None)
@given(SCRIPTS)
def test_every_scan_gets_exactly_one_answer(script):
    """A scan, a tap or a request is answered once, at the place it came from."""
    _, effects = played(script)
    asking = (
        MemberScanned,
        ControlScanned,
        PointChosen,
        LinkRequested,
        CorrectionRequested,
        ClaimRequested,
        ReleaseRequested,
    )
    for (event, _), told in zip(script, effects, strict=True):
        answers = [effect for effect in told if isinstance(effect, Answer)]
        assert len(answers) == (1 if isinstance(event, asking) else 0)
        for answer in answers:
            assert answer.outcome in Outcome
            assert answer.to in {getattr(event, name, None) for name in ("reader", "person", "terminal")}


@settings(max_examples=tries(80), deadline=None)
@given(SCRIPTS)
def test_a_claimed_sale_is_linked_or_changed_by_its_terminal_alone(script):
    """Whoever has a sale, nobody else links, changes or takes it, but head office, until the lease is over."""
    desk, mono = fresh(), MONO
    for scripted, wait_ms in script:
        mono += wait_ms
        now = Now(WALL + mono - MONO, mono)
        event = (
            replace(scripted, ended_ms=now.wall_ms - scripted.ended_ms)
            if isinstance(scripted, SaleBooked)
            else scripted
        )
        before = {sale: claim for sale, claim in desk.claims.items() if not _is_over(claim, now)}
        desk, told = step(desk, event, now)
        where = getattr(event, "terminal", None) or getattr(event, "reader", None)
        for effect in told:
            if isinstance(effect, LinkSale | CorrectLink) and getattr(event, "role", None) is not Role.HEAD_OFFICE:
                held = before.get(effect.sale)
                assert held is None or held.terminal == where or isinstance(event, SaleBooked)
        for claim in desk.claims.values():
            was = before.get(claim.sale)
            taken = was is None or was.terminal == claim.terminal or isinstance(event, SaleStateChanged)
            assert taken, f"{claim.terminal} took {was}"
            assert claim.until_mono_ms is None or claim.until_mono_ms <= mono + Windows().claim_s * 1000
    assert all(desk.sales[sale].state is not SaleState.CLEARED for sale in desk.claims if sale in desk.sales)


def _is_over(claim: Claim, now: Now) -> bool:
    return claim.until_mono_ms is not None and now.mono_ms > claim.until_mono_ms
