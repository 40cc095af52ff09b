"""From "someone scanned something" to "this sale belongs to this member": the pure step over scans and fuellings.

``step(desk, event, now)`` returns the new desk and what to store and say. Emits no command to any dispenser: a scan
never changes what a pump may do. Records, targets, edits, fuelling and corrections live in the ``link_*`` files beside.
"""

from __future__ import annotations

from dataclasses import replace

from agent.domain.answers import Outcome
from agent.domain.identity import earn_only
from agent.domain.instant import Now
from agent.domain.link_claims import (
    claim_requested,
    claims_over,
    followed,
    refusal,
    release_requested,
    take,
    worked_on,
)
from agent.domain.link_corrections import correction_requested, link_requested, undone
from agent.domain.link_edits import Result, add_code, attach, codes_of, end, put, save, spend, strengthen, without
from agent.domain.link_fuelling import (
    flow_seen,
    hung_zero,
    nozzle_lifted,
    sale_booked,
    sale_recalled,
    sale_state_changed,
)
from agent.domain.link_records import (
    Answer,
    Chosen,
    ClaimRequested,
    ControlScanned,
    CorrectionRequested,
    Credential,
    End,
    FlowSeen,
    HungZero,
    KnownSale,
    LinkDesk,
    LinkEffect,
    LinkEvent,
    LinkRequested,
    MemberScanned,
    NozzleLifted,
    Pending,
    PendingState,
    PointChosen,
    Reader,
    Recent,
    ReleaseRequested,
    SaleBooked,
    SaleRecalled,
    SaleStateChanged,
    Ticked,
)
from agent.domain.link_targets import (
    Target,
    TargetKind,
    awaiting_point,
    choices_for,
    holder_of,
    resolve_live,
    resolve_point,
    resolve_roaming,
    resolve_sale,
)
from agent.domain.link_windows import Windows
from agent.domain.sale import SaleState


def step(desk: LinkDesk, event: LinkEvent, now: Now) -> Result:
    """Return the desk after an event and its effects, in the order in which one commit must apply them.

    Windows run on ``now.mono_ms``; the same event twice (sale id, scan id) changes nothing the second time.
    """
    desk, over = _expire(replace(desk, seen=now), now)
    desk, effects = _dispatch(desk, event, now)
    return desk, over + effects


def is_repeat(desk: LinkDesk, who: Credential, now: Now) -> bool:
    """Return whether a scan with a one-time code tells linking what it knows: its link stands, or waits, as it did."""
    reader = desk.readers.get(who.reader)
    if reader is None:
        return False
    desk, _ = _expire(replace(desk, seen=now), now)
    known = _known_scan(desk, reader, who, _point_meant(reader, desk.chosen.get(reader.id)), now)
    return known is not None and any(isinstance(effect, Answer) and effect.repeat for effect in known[1])


def _dispatch(desk: LinkDesk, event: LinkEvent, now: Now) -> Result:
    match event:
        case MemberScanned():
            return _member_scanned(desk, event, now)
        case ControlScanned():
            return _control_scanned(desk, event, now)
        case PointChosen():
            return _tile_tapped(desk, event, now)
        case NozzleLifted():
            return nozzle_lifted(desk, event)
        case FlowSeen():
            return flow_seen(desk, event.point)
        case HungZero():
            return hung_zero(desk, event, now)
        case SaleBooked():
            return sale_booked(desk, event, now)
        case SaleStateChanged():
            desk, effects = sale_state_changed(desk, event)
            desk, claim = followed(desk, event, now)
            return desk, effects + claim
        case ClaimRequested():
            return claim_requested(desk, event, now)
        case ReleaseRequested():
            return release_requested(desk, event)
        case LinkRequested():
            return link_requested(desk, event, now)
        case CorrectionRequested():
            return correction_requested(desk, event, now)
        case SaleRecalled():
            return sale_recalled(desk, event.sale)
        case Ticked():
            return desk, ()


def settlement_due_ms(sale_ended_ms: int, link_ms: int | None, windows: Windows) -> int:
    """Return when a sale settles by itself, on the clock of the arguments.

    A linked sale ``settle_s`` after its link or hang-up, whichever is later; an unlinked one at the end of ``after_s``.
    """
    if link_ms is None:
        return sale_ended_ms + windows.after_s * 1000
    return max(sale_ended_ms, link_ms) + windows.settle_s * 1000


def _expire(desk: LinkDesk, now: Now) -> Result:
    effects: tuple[LinkEffect, ...] = ()
    for pending in tuple(desk.pending.values()):
        if pending.state is not PendingState.LIVE and now.mono_ms > pending.until_mono_ms:
            desk, over = end(desk, pending, End.EXPIRED)
            effects += over
    if any(now.mono_ms > chosen.until_mono_ms for chosen in desk.chosen.values()):
        kept = {key: chosen for key, chosen in desk.chosen.items() if now.mono_ms <= chosen.until_mono_ms}
        desk = replace(desk, chosen=kept)
    desk, claims = claims_over(desk, now)
    return desk, effects + claims


def _member_scanned(desk: LinkDesk, event: MemberScanned, now: Now) -> Result:
    reader = desk.readers.get(event.reader)
    if reader is None:
        return desk, (Answer(event.reader, Outcome.READER_UNKNOWN),)
    repeated = _seen_just_now(desk, event.reader, event.text_digest, now)
    if repeated is not None:
        return repeated
    if event.who is None:
        outcome = Outcome.NOT_A_MEMBER_CODE if event.refused is None else event.refused
        return _remember(desk, event.reader, event.text_digest, now, (Answer(event.reader, outcome),))
    aimed = desk.chosen.get(reader.id)
    if event.point is not None or event.sale is not None:
        aimed = Chosen(reader.id, event.point, event.sale, now.mono_ms)
        if event.point is not None and event.point not in reader.points:
            return desk, (Answer(reader.id, Outcome.POINT_NOT_SERVED, point=event.point),)
    desk, effects = _accepted(desk, reader, event, aimed, now)
    return _remember(desk, event.reader, event.text_digest, now, effects)


def _seen_just_now(desk: LinkDesk, reader: str, digest: str | None, now: Now) -> Result | None:
    """Within ``duplicate_s`` of its last sight the same text is the same event: the same answer, nothing else."""
    recent = desk.recent.get(reader)
    if recent is None or digest is None or recent.digest != digest:
        return None
    if now.mono_ms - recent.mono_ms > desk.windows.duplicate_s * 1000:
        return None
    desk = replace(desk, recent=put(desk.recent, reader, replace(recent, mono_ms=now.mono_ms)))
    return desk, (replace(recent.answer, repeat=True),)


def _remember(desk: LinkDesk, reader: str, digest: str | None, now: Now, effects: tuple[LinkEffect, ...]) -> Result:
    answers = [effect for effect in effects if isinstance(effect, Answer)]
    if digest is not None and answers:
        desk = replace(desk, recent=put(desk.recent, reader, Recent(digest, now.mono_ms, answers[-1])))
    return desk, effects


def _accepted(desk: LinkDesk, reader: Reader, event: MemberScanned, aimed: Chosen | None, now: Now) -> Result:
    """Act on an accepted code; ``aimed``: what was tapped for it, before it or together with it."""
    who = event.who
    assert who is not None
    point = _point_meant(reader, aimed)
    earlier = _known_scan(desk, reader, who, point, now)
    if earlier is not None:
        return earlier
    if event.spent:
        return desk, (Answer(reader.id, Outcome.REPLAYED),)
    waiting = awaiting_point(desk, reader.id)
    target = _aim(desk, reader, aimed, who, now)
    names_target = event.point is not None or event.sale is not None
    if waiting is not None and waiting.who.member == who.member:
        desk, effects = strengthen(desk, waiting, who)
        if not names_target:
            return desk, (*spend(who), *effects, _asked(desk, reader, waiting.who, now))
        desk, acted = _act(desk, desk.pending[waiting.id], target, now, fresh=False)
        return desk, (*spend(who), *effects, *acted)
    if waiting is not None and (not names_target or target.kind is TargetKind.ASK):
        return desk, (Answer(reader.id, Outcome.FINISH_FIRST),)
    desk = replace(desk, chosen=without(desk.chosen, reader.id))
    until = now.mono_ms + desk.windows.choose_s * 1000
    pending = Pending(who, PendingState.AWAIT_POINT, now, until, codes=codes_of(who))
    return _act(desk, pending, target, now, fresh=True)


def _aim(desk: LinkDesk, reader: Reader, aimed: Chosen | None, who: Credential, now: Now) -> Target:
    if aimed is not None and aimed.sale is not None:
        return resolve_sale(desk, aimed.sale, who.member, now)
    if aimed is not None and aimed.live and aimed.point is not None:
        return resolve_live(desk, aimed.point, who.member)
    point = _point_meant(reader, aimed)
    if point is not None:
        return resolve_point(desk, point, who.member, now)
    return resolve_roaming(desk, reader.points, who, now)


def _point_meant(reader: Reader, aimed: Chosen | None) -> int | None:
    """Return the point that was tapped, else the only point of a fixed reader, else ``None``."""
    if aimed is not None and aimed.point is not None:
        return aimed.point
    return reader.points[0] if len(reader.points) == 1 else None


def _asked(desk: LinkDesk, reader: Reader, who: Credential, now: Now) -> Answer:
    choices = choices_for(desk, reader.points, now)
    return Answer(reader.id, Outcome.CHOOSE_POINT, member=who.member, choices=choices, repeat=True)


def _known_scan(desk: LinkDesk, reader: Reader, who: Credential, point: int | None, now: Now) -> Result | None:
    """Answer a scan id or a one-time code that was seen before; ``None`` for a new one. ``point``: the one meant."""
    for sale in desk.sales.values():
        link = sale.link
        if link is None:
            continue
        if link.who.scan_id == who.scan_id or (who.code is not None and who.code in link.codes):
            about_it = link.who.scan_id == who.scan_id or _is_about(desk, reader, point, sale)
            outcome = Outcome.REPEAT if about_it else Outcome.REPLAYED
            member = link.who.member if about_it else None
            return desk, (Answer(reader.id, outcome, member, sale.point, sale.id, repeat=about_it),)
    for pending in desk.pending.values():
        if pending.id == who.scan_id or (who.code is not None and who.code in pending.codes):
            return _seen_pending(desk, reader, pending, who, now, point=point)
    for ended in desk.ended:
        if ended.scan_id == who.scan_id:
            done = ended.how in (End.LINKED, End.MOVED)
            return desk, (Answer(reader.id, Outcome.REPEAT if done else Outcome.EXPIRED, repeat=True),)
        if who.code is not None and who.code in ended.codes:
            return desk, (Answer(reader.id, Outcome.REPLAYED),)
    return None


def _is_about(desk: LinkDesk, reader: Reader, point: int | None, sale: KnownSale) -> bool:
    """Return whether a code shown again at this reader can still mean the sale that it is linked to."""
    if sale.point not in reader.points:
        return False
    if point is None:
        return True
    newer = any(o.point == sale.point and o.ended_mono_ms > sale.ended_mono_ms for o in desk.sales.values())
    return point == sale.point and point not in desk.live and not newer


def _seen_pending(
    desk: LinkDesk, reader: Reader, pending: Pending, who: Credential, now: Now, *, point: int | None
) -> Result:
    again = Answer(reader.id, Outcome.REPEAT, pending.who.member, pending.point, repeat=True)
    same_person = pending.who.reader == reader.id or (
        who.attendant is not None and who.attendant == pending.who.attendant
    )
    replayed = Answer(reader.id, Outcome.REPLAYED)
    if pending.id == who.scan_id and pending.point is not None:
        return desk, (again,)
    if pending.point is None:
        if pending.id == who.scan_id or (point is None and same_person):
            return desk, (_asked(desk, reader, pending.who, now),)
        if point is None or not same_person:
            return desk, (replayed,)
        desk, effects = _act(desk, pending, resolve_point(desk, point, who.member, now), now, fresh=False)
        return desk, tuple(replace(e, to=reader.id) if isinstance(e, Answer) else e for e in effects)
    if point == pending.point or (point is None and pending.point in reader.points):
        return desk, (again,)
    if point is None or pending.state is not PendingState.AWAIT_FUELLING or not same_person:
        return desk, (replayed,)
    if reader.id not in desk.chosen:
        until = now.mono_ms + desk.windows.choose_s * 1000
        desk = replace(desk, chosen=put(desk.chosen, reader.id, Chosen(reader.id, point, None, until)))
        return desk, (Answer(reader.id, Outcome.MOVE_OFFER, pending.who.member, point),)
    desk = replace(desk, chosen=without(desk.chosen, reader.id))
    return _moved(desk, pending, point, reader.id, who)


def _moved(desk: LinkDesk, pending: Pending, point: int, to: str, who: Credential | None) -> Result:
    """Take a waiting link to another free point, its window not restarted; a second scan takes over as its id."""
    if point in desk.live or holder_of(desk, point) is not None:
        return desk, (Answer(to, Outcome.POINT_TAKEN, point=point),)
    moved = replace(pending, point=point, note=f"moved from point {pending.point}")
    ended: tuple[LinkEffect, ...] = ()
    if who is not None:
        moved = replace(moved, who=replace(pending.who, scan_id=who.scan_id))
        desk, ended = end(desk, pending, End.MOVED)
    desk, saved = save(desk, moved)
    return desk, (*ended, *saved, Answer(to, Outcome.MOVED, pending.who.member, point))


def _act(desk: LinkDesk, pending: Pending, target: Target, now: Now, *, fresh: bool) -> Result:
    """Do what a target means for a scan; ``fresh``: the scan is not stored as a pending link yet."""
    to = pending.who.reader
    answer = Answer(to, Outcome.ALREADY_LINKED, pending.who.member, target.point, target.sale)
    spent = spend(pending.who) if fresh else ()
    match target.kind:
        case TargetKind.LIVE | TargetKind.WAIT:
            desk, effects = save(desk, _placed(desk, pending, target, now))
            outcome = _linked_as(pending.who) if target.kind is TargetKind.LIVE else Outcome.WAITING_FOR_NOZZLE
        case TargetKind.SALE:
            assert target.sale is not None
            refused = refusal(desk, desk.sales[target.sale], to)
            if refused is not None:
                outcome, terminal = refused
                return desk, (replace(answer, outcome=outcome, member=None, terminal=terminal),)
            desk, effects = _link_sale(desk, pending, target, now, fresh=fresh)
            locked = desk.sales[target.sale].state is not SaleState.PAYABLE
            outcome = Outcome.LINKED_AFTER_LOCK if locked else _linked_as(pending.who)
        case TargetKind.ASK:
            desk, effects = save(desk, pending) if fresh else (desk, ())
            outcome = Outcome.CHOOSE_POINT
            answer = replace(answer, choices=target.choices)
        case TargetKind.REPEAT:
            desk, effects = _second_look(desk, pending, target, fresh=fresh)
            outcome = Outcome.REPEAT
            answer = replace(answer, repeat=True)
        case TargetKind.TAKEN:
            return desk, (replace(answer, member=target.member),)
        case TargetKind.GONE | TargetKind.SALE_UNKNOWN:
            gone = target.kind is TargetKind.GONE
            return desk, (replace(answer, outcome=Outcome.SALE_GONE if gone else Outcome.SALE_UNKNOWN, member=None),)
    return desk, (*spent, *effects, replace(answer, outcome=outcome))


def _placed(desk: LinkDesk, pending: Pending, target: Target, now: Now) -> Pending:
    until = now.mono_ms + desk.windows.before_s * 1000
    if target.live is None:
        return replace(pending, state=PendingState.AWAIT_FUELLING, point=target.point, until_mono_ms=until)
    nozzle, start = target.live.nozzle, target.live.start
    return replace(
        pending, state=PendingState.LIVE, point=target.point, nozzle=nozzle, start=start, until_mono_ms=until
    )


def _link_sale(desk: LinkDesk, pending: Pending, target: Target, now: Now, *, fresh: bool) -> Result:
    assert target.sale is not None
    effects: tuple[LinkEffect, ...] = ()
    if not fresh:
        desk, effects = end(desk, pending, End.LINKED)
    desk, claim = worked_on(desk, target.sale, pending.who.reader, pending.who.attendant, now)
    desk, link = attach(desk, desk.sales[target.sale], pending.who, now, codes=pending.codes)
    return desk, (*effects, *claim, link)


def _second_look(desk: LinkDesk, pending: Pending, target: Target, *, fresh: bool) -> Result:
    """The same member again for what is already theirs: keep the stronger level, link nothing."""
    effects: tuple[LinkEffect, ...] = ()
    holder = None if target.pending is None else desk.pending.get(target.pending)
    if holder is not None:
        desk, effects = strengthen(desk, holder, pending.who)
    sale = None if target.sale is None else desk.sales.get(target.sale)
    if sale is not None and sale.link is not None:
        link = replace(sale.link, codes=add_code(sale.link.codes, pending.who))
        desk = replace(desk, sales=put(desk.sales, sale.id, replace(sale, link=link)))
    if fresh:
        return desk, effects
    desk, ended = end(desk, pending, End.CANCELLED)
    return desk, (*effects, *ended)


def _linked_as(who: Credential) -> Outcome:
    if not who.member_known:
        return Outcome.LINKED_MEMBER_UNKNOWN
    if earn_only(who.level) or who.clock_suspect:
        return Outcome.LINKED_EARN_ONLY
    return Outcome.LINKED


def _control_scanned(desk: LinkDesk, event: ControlScanned, now: Now) -> Result:
    reader = desk.readers.get(event.reader)
    if reader is None:
        return desk, (Answer(event.reader, Outcome.READER_UNKNOWN),)
    repeated = _seen_just_now(desk, event.reader, event.text_digest, now)
    if repeated is not None:
        return repeated
    if event.point is None:
        desk, effects = _cancel(desk, reader, now)
    else:
        desk, effects = _name_point(desk, reader, PointChosen(reader.id, None, event.point), now)
    return _remember(desk, event.reader, event.text_digest, now, effects)


def _tile_tapped(desk: LinkDesk, event: PointChosen, now: Now) -> Result:
    reader = desk.readers.get(event.reader)
    if reader is None:
        return desk, (Answer(event.reader, Outcome.READER_UNKNOWN),)
    pending = None if event.pending is None else desk.pending.get(event.pending)
    if pending is not None and event.point is not None and pending.state is PendingState.AWAIT_FUELLING:
        if event.point not in reader.points:
            return desk, (Answer(reader.id, Outcome.POINT_NOT_SERVED, point=event.point),)
        return _moved(desk, pending, event.point, reader.id, None)
    return _name_point(desk, reader, event, now, desk.windows.first_scan_s)


def _name_point(desk: LinkDesk, reader: Reader, choice: PointChosen, now: Now, window_s: int | None = None) -> Result:
    """Answer "which point" for the scan that waits at this reader, else keep the choice for the next scan."""
    sale = choice.sale
    known = None if sale is None else desk.sales.get(sale)
    if sale is not None and known is None:
        return desk, (Answer(reader.id, Outcome.SALE_UNKNOWN, sale=sale),)
    point = choice.point if known is None else known.point
    if point is None or point not in reader.points:
        return desk, (Answer(reader.id, Outcome.POINT_NOT_SERVED, point=point, sale=sale),)
    waiting = awaiting_point(desk, reader.id)
    if waiting is not None:
        return _act(desk, waiting, _picked(desk, choice, point, waiting.who.member, now), now, fresh=False)
    claim: tuple[LinkEffect, ...] = ()
    if known is not None and known.state is SaleState.PAYABLE:
        refused = refusal(desk, known, reader.id)
        if refused is not None:
            outcome, terminal = refused
            return desk, (Answer(reader.id, outcome, point=point, sale=sale, terminal=terminal),)
        desk, claim = take(desk, known.id, reader.id, choice.person, now)
    until = now.mono_ms + (desk.windows.choose_s if window_s is None else window_s) * 1000
    chosen = Chosen(reader.id, None if sale is not None else point, sale, until, choice.live)
    desk = replace(desk, chosen=put(desk.chosen, reader.id, chosen))
    return desk, (*claim, Answer(reader.id, Outcome.SCAN_NOW, point=point, sale=sale))


def _picked(desk: LinkDesk, choice: PointChosen, point: int, member: str, now: Now) -> Target:
    if choice.sale is not None:
        return resolve_sale(desk, choice.sale, member, now)
    return resolve_live(desk, point, member) if choice.live else resolve_point(desk, point, member, now)


def _cancel(desk: LinkDesk, reader: Reader, now: Now) -> Result:
    """Cancel what waits at this reader: a scan without a point, a choice, or the only waiting link; else ask.

    What a roaming reader linked a moment ago comes first: its only candidate may have been the wrong car.
    """
    waiting = awaiting_point(desk, reader.id)
    if waiting is None and reader.id not in desk.chosen and len(reader.points) > 1:
        just_now = undone(desk, reader, now)
        if just_now is not None:
            return just_now
    if waiting is None:
        point = _point_meant(reader, desk.chosen.get(reader.id))
        mine = [
            pending
            for pending in desk.pending.values()
            if pending.state is PendingState.AWAIT_FUELLING
            and pending.point in reader.points
            and (point is None or pending.point == point)
            and (pending.who.reader == reader.id or len(reader.points) == 1)
        ]
        if len(mine) > 1:
            return desk, (Answer(reader.id, Outcome.CHOOSE_POINT),)
        waiting = mine[0] if mine else None
    had_choice = reader.id in desk.chosen
    desk = replace(desk, chosen=without(desk.chosen, reader.id))
    if waiting is None:
        return desk, (Answer(reader.id, Outcome.CANCELLED if had_choice else Outcome.NOTHING_TO_CANCEL),)
    desk, ended = end(desk, waiting, End.CANCELLED)
    return desk, (*ended, Answer(reader.id, Outcome.CANCELLED, point=waiting.point))
