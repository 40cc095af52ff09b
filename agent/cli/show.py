"""How answers look to people: tables and short paragraphs. Knows the documented JSON, nothing of the daemon."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from agent.cli.plain import clock_time, degrees, litres, money, price, print_table


def status(value: dict[str, Any], *, clear: bool = False) -> None:
    """Print the station at a glance."""
    if clear and sys.stdout.isatty():
        print("\033[2J\033[H", end="")
    sync_state = value["sync"]
    link = "online" if sync_state["online"] else f"offline ({sync_state['reason'] or 'not connected'})"
    if sync_state["stopped"]:
        link = f"SENDING STOPPED: {sync_state['stopped']}"
    if sync_state["fenced_since"]:
        link += f", FENCED since {sync_state['fenced_since']}: nothing is redeemed"
    waiting = sum(stream["waiting"] for stream in sync_state["streams"].values())
    print(f"{value['station']} {value['name']}  {value['time']}  clock {value['clock']}  version {value['version']}")
    unsettled, mode = value["unsettled_sales"], value["mode"]
    print(f"head office {link}, {waiting} records waiting; {unsettled} sales unsettled; mode {mode}")
    if sync_state["members"]["filling"] is not None:
        print(members_line(sync_state["members"]))
    print(backup_line(value["backup"]))
    pumps(value["fuelling_points"])
    tanks(value["tanks"])
    for answer in value["answers"]:
        print(f"{answer['to']}: {answer['message']}")
    gone = [device for device in value["devices"] if not device["online"]]
    for device in gone:
        print(f"{device['device']} is offline: {device['reason']}. {device['hint']}")
    alerts(value["alerts"])


def members_line(value: dict[str, Any]) -> str:
    """Return how far the member cache is, in one line."""
    filling = value["filling"]
    if filling is not None:
        left = "" if filling["left_s"] is None else f", ~{max(1, round(filling['left_s'] / 60))} min"
        stored, of = f"{filling['members_stored']:,}", f"{filling['members']:,}"
        return f"members {stored} of {of}, bucket {filling['buckets_stored']}/{filling['buckets']}{left}"
    if value["waits_for_manifest"]:
        return f"members up to change {value['op']}, to be compared with head office"
    compared = f", compared {value['audited_at']}" if value["audited_at"] else ""
    return f"members up to change {value['op']}{compared}"


def backup_line(value: dict[str, Any] | None) -> str:
    """Return how old the last good backup is, in one line."""
    if value is None:
        return "backups: none are made; the configuration has no [backup]"
    if value["last"] is None:
        text = "backups: no good one yet"
    else:
        hours = value["age_s"] // 3600
        text = f"backups: the last good one is {hours} h old" + (" (TOO OLD)" if value["overdue"] else "")
    if value["running"] is not None:
        text += f", one is being made ({value['running']})"
    return text + (f"; {value['failure']}" if value["failure"] else "")


def pumps(value: list[dict[str, Any]]) -> None:
    """Print fuelling points."""
    rows = [
        [
            p["fuelling_point"],
            p["state"],
            p["nozzle"],
            p["grade"],
            litres(p["volume_ml"]),
            money(p["amount_minor"], p["exponent"]),
            price(p["unit_price_milli"]),
            p["control"],
            ", ".join([*p["alerts"], *(f"NEEDS_RECONCILIATION {u['command']}" for u in p["unresolved_commands"])]),
        ]
        for p in value
    ]
    columns = ["point", "state", "nozzle", "grade", "litres", "amount", "price", "control", "alerts"]
    print_table("Fuelling points", columns, rows)


def tanks(value: list[dict[str, Any]]) -> None:
    """Print tanks."""
    rows = []
    for t in value:
        share = "-" if t["volume_ml"] is None else f"{100 * t['volume_ml'] // t['capacity_ml']} %"
        temperature = t.get("temperature_mdegc")
        water = t.get("water_height_um")
        rows.append(
            [
                t["tank"],
                t["grade"],
                litres(t["volume_ml"], 0),
                share,
                _known(t.get("stock_ml")),
                _known(t.get("reference_ml")),
                "-" if water is None else f"{water // 1000} mm",
                "-" if temperature is None else f"{degrees(temperature)} C",
                "delivery" if t.get("delivery_in_progress") else "",
                ", ".join([t["quality"], *t.get("doubts", ())]),
                "-" if t["age_s"] is None else f"{t['age_s']} s",
            ]
        )
    columns = [
        "tank",
        "grade",
        "litres",
        "full",
        "product",
        "reference",
        "water",
        "temperature",
        "",
        "quality",
        "age",
    ]
    print_table("Tanks", columns, rows)


def deliveries(value: list[dict[str, Any]]) -> None:
    """Print deliveries."""
    rows = [
        [
            d["tank"],
            d["grade"],
            clock_time(d["start"]),
            d["console_start"] or "-",
            d["console_end"] or "-",
            litres(d["start_volume_ml"], 0),
            litres(d["end_volume_ml"], 0),
            litres(d["rise_ml"], 0),
            litres(d["delivered_ml"], 0),
            "" if d["final"] else "may still grow",
            d["quality"],
        ]
        for d in value
    ]
    columns = ["tank", "grade", "start", "gauge start", "gauge end", "from", "to", "rise", "delivered", "", "quality"]
    print_table("Deliveries", columns, rows)


def gauge_alarms(value: list[dict[str, Any]]) -> None:
    """Print the alarm history of gauges."""
    rows = [
        [
            e["gauge"],
            clock_time(e["at"]),
            e["console_time"],
            e["text"],
            e["device"],
            e["state"],
            "yes" if e["told"] else "",
        ]
        for e in value
    ]
    print_table("Gauge alarms", ["gauge", "when", "gauge time", "alarm", "device", "state", "told"], rows)


def gauge_chart(value: dict[str, Any]) -> None:
    """Print a strapping table as a strapping file; what else is known of it goes to stderr."""
    about = f"tank {value['tank']}: {len(value['points'])} points by function {value['source']}, sha256 {value['hash']}"
    print(about, file=sys.stderr)
    if value["doubts"]:
        print(f"    not to be used as it is: {value['doubts']}", file=sys.stderr)
    print("height_mm;volume_l")
    for point in value["points"]:
        print(f"{thousandths(point['height_um'])};{thousandths(point['volume_ml'])}")


def thousandths(value: int) -> str:
    """Return a number of thousandths as a decimal."""
    whole, part = divmod(abs(value), 1000)
    return f"{'-' if value < 0 else ''}{whole}.{part:03d}"


def _known(volume_ml: int | None) -> str:
    """Return whole litres, or that they are not known: never the gross volume in their place."""
    return "unknown" if volume_ml is None else litres(volume_ml, 0)


def sales(value: list[dict[str, Any]]) -> None:
    """Print a list of sales."""
    rows = [
        [
            s["sale"],
            clock_time(s["ended_at"]),
            f"{s['fuelling_point']}/{s['nozzle']}",
            s["grade"],
            litres(s["volume_ml"]),
            money(s["amount_minor"], s["exponent"]),
            s["mask"] or "",
            money(s["discount_minor"], s["exponent"]),
            money(s["net_minor"], s["exponent"]),
            "-" if s["points_earned"] is None else s["points_earned"],
            "Voided" if s["voided"] else s["state"],
            " ".join([s["kind"], *s["flags"]]) if s["kind"] != "NORMAL" or s["flags"] else "",
        ]
        for s in value
    ]
    columns = [
        "sale",
        "ended",
        "point",
        "grade",
        "litres",
        "amount",
        "member",
        "off",
        "net",
        "points",
        "state",
        "notes",
    ]
    print_table("Sales", columns, rows)


def sale(value: dict[str, Any]) -> None:
    """Print one sale with everything that explains it."""
    exponent = value["exponent"]
    print(f"sale {value['sale']}  {value['kind']}  {value['state']}  business day {value['business_day']}")
    print(
        f"point {value['fuelling_point']} nozzle {value['nozzle']} grade {value['grade']}:"
        f" {litres(value['volume_ml'], 3)} L"
        f" x {price(value['unit_price_milli'])} = {money(value['amount_minor'], exponent)} {value['currency']}"
    )
    if value["rollback_offer"] is not None:
        print(f"price lowered at the pump from {price(value['list_price_milli'])} by {value['rollback_offer']}")
    key = f"totalizer {value['totalizer_start']} -> {value['totalizer_end']}"
    if value["counter"] is not None:
        key = f"number {value['counter']} of this point, which keeps no totals"
    print(f"{key}; ended {clock_time(value['ended_at'])}")
    if value["flags"]:
        print(f"flags: {', '.join(value['flags'])}")
    for link in value["links"]:
        active = "" if link["active"] else " (corrected)"
        delay = f"{link['delay_s']} s after hang-up{active}"
        print(f"linked to {link['mask']} by {link['by']}, level {link['level']}, {delay}")
    if value["settled_at"] is not None:
        print(
            f"settled {clock_time(value['settled_at'])} by rules version {value['rule_version']}: discount"
            f" {money(value['discount_minor'], exponent)}, net {money(value['net_minor'], exponent)},"
            f" {value['points_earned']} points"
        )
    held = value["held"]
    if held is not None:
        until, net = clock_time(held["until"]), money(held["net_minor"], exponent)
        print(f"held by {held['by']} at a net of {net} until {until}; unlock lets it go")
    for sentence in value["explanation"]:
        print(f"  - {sentence}")
    for tender in value["tenders"]:
        print(f"paid {money(tender['amount_minor'], exponent)} {tender['kind']} {tender['ref'] or ''}".rstrip())
    for coupon in value["coupons"]:
        worth = money(coupon["value_minor"], exponent)
        back = "" if coupon["returned_at"] is None else f", came back {clock_time(coupon['returned_at'])}"
        print(f"coupon {coupon['code']} of {coupon['offer']}: {worth}{back}")
    for posting in value["postings"]:
        print(f"  {posting['account']:<20}{posting['points']:>8}  lot {posting['lot']}")
    for item in value["corrections"]:
        print(f"{item['what']} {clock_time(item['at'])} by {item['by']} ({item['role']}): {item['reason']}")


def alerts(value: list[dict[str, Any]]) -> None:
    """Print alerts."""
    rows = [
        [
            a["alert"],
            a["subject"],
            a["name"],
            a["severity"],
            a["state"],
            clock_time(a["raised_at"]),
            "" if a["value"] is None else f"{a['value']} {a['unit']}",
            "" if a["limit"] is None else f"limit {a['limit']}",
            a["detail"],
        ]
        for a in value
    ]
    columns = ["alert", "subject", "name", "severity", "state", "raised", "value", "", "detail"]
    print_table("Alerts", columns, rows)


def journal(value: list[dict[str, Any]]) -> None:
    """Print journal records."""
    rows = [
        [
            r["stream"],
            r["seq"],
            r["record"]["time"],
            r["record"]["type"],
            "yes" if r["delivered"] else "no",
            r["hash"][:12],
        ]
        for r in value
    ]
    print_table("Journal", ["stream", "seq", "time", "type", "delivered", "hash"], rows)


def sync(value: dict[str, Any]) -> None:
    """Print how far head office has what was written."""
    state = "online" if value["online"] else f"offline: {value['reason']}"
    print(f"{value['broker']} {state}  {value['protocol'] or ''}".rstrip())
    if value["stopped"]:
        print(f"sending has stopped ({value['stopped']}): this database needs a new incarnation; selling goes on")
    if value["fenced_since"]:
        told = "head office hears another PC as this station; nothing is redeemed here until a person lifts the fence"
        print(f"fenced since {value['fenced_since']}: {told}")
    if value["awaits_ends"]:
        why = value["incarnations"][0]["reason"]
        print(f"new incarnation ({why}): waits for head office to tell where its sales end; selling goes on")
    print(members_line(value["members"]))
    rows = [[name, s["last_seq"], s["acked"], s["waiting"]] for name, s in value["streams"].items()]
    print_table("Streams", ["stream", "written", "acknowledged", "waiting"], rows)
    credit = value["credit"]
    if credit is not None and (credit["pause_ms"] or credit["records_per_s"]):
        speed = f"at most {credit['records_per_s']} records a second" if credit["records_per_s"] else "a pause"
        print(f"head office asks for less: {speed}; nothing is lost, it goes out later")
    if value["requests"]:
        asked = [[r["kind"], r["about"], r["asked"]] for r in value["requests"]]
        print_table("Asked and not answered yet", ["what", "about", "since"], asked)
    letters = [[d["stream"], d["seq"], d["reason"]] for d in value["dead_letters"] if d["standing"]]
    if letters:
        print_table("Dead letters", ["stream", "seq", "reason"], letters)
    last = value["last_command"]
    if last is not None:
        print(f"last command of head office: {last['kind']} {last['status'] or 'begun'}, {last['received']}")


def commands(value: list[dict[str, Any]]) -> None:
    """Print what head office ordered here, and what came of it."""
    rows = [
        [
            c["received"],
            c["kind"],
            " ".join(f"{k}={v}" for k, v in c["args"].items()),
            c["by"],
            c["status"],
            c["reason"],
        ]
        for c in value
    ]
    print_table("Commands of head office", ["received", "command", "args", "by", "result", "reason"], rows)


def prices(value: list[dict[str, Any]]) -> None:
    """Print the price table."""
    rows = [[p["grade"], price(p["unit_price_milli"]), p["effective_from"], p["source"], p["person"]] for p in value]
    print_table("Prices", ["grade", "price per litre", "effective from", "source", "person"], rows)


_PRICE_STATES = {
    "in_force": "in force",
    "lowered": "lowered for a member",
    "waiting": "waits until the point is at rest",
    "refused": "refused by the pump",
    "not_ours": "not set by us",
    "unknown": "not known yet",
}


def price_points(value: list[dict[str, Any]]) -> None:
    """Print the price of each nozzle."""
    rows = [
        [
            f"{p['fuelling_point']}/{p['nozzle']}",
            p["grade"],
            price(p["in_force_milli"]),
            price(p["wanted_milli"]),
            _PRICE_STATES[p["state"]],
        ]
        for p in value
    ]
    print_table("Prices at the nozzles", ["point", "grade", "in force", "wanted", "state"], rows)


def price_history(value: list[dict[str, Any]]) -> None:
    """Print from when on each nozzle has sold at which price."""
    rows = [[p["since"], f"{p['fuelling_point']}/{p['nozzle']}", price(p["unit_price_milli"])] for p in value]
    print_table("Prices in force", ["since", "point", "price per litre"], rows)


def verification(value: dict[str, Any]) -> None:
    """Print what verify found."""
    counted = f"{value['records']} records, {value['sales']} sales, {value['postings']} postings"
    if value["verified"]:
        print(f"everything agrees: {counted}")
        return
    print(f"{len(value['findings'])} findings in {counted}:")
    for finding in value["findings"]:
        print(f"  {finding['where']}: {finding['problem']}")


def faults(found: Sequence[Any]) -> None:
    """Print the faults of a configuration file on stderr, in file order."""
    for fault in found:
        print(f"{fault.file}:{fault.line}: {fault.key}: {fault.problem}", file=sys.stderr)
        print(f"    {fault.hint}", file=sys.stderr)
    word = "fault" if len(found) == 1 else "faults"
    print(f"{len(found)} {word}", file=sys.stderr)


def warnings(found: Sequence[dict[str, str]]) -> None:
    """Print on stderr what works and should still be changed."""
    for item in found:
        print(f"line {item['line']}, option {item['option']}: {item['problem']}", file=sys.stderr)
        print(f"    {item['hint']}", file=sys.stderr)


def settings_ok(file: str, settings: Any) -> None:
    """Print what a correct file configures."""
    nozzles = sum(len(point.nozzle) for point in settings.fuelling_point)
    print(
        f"{file} is correct: station {settings.station.id}, {len(settings.line)} lines,"
        f" {len(settings.fuelling_point)} fuelling points with {nozzles} nozzles, {len(settings.tank)} tanks,"
        f" {len(settings.reader)} readers, {len(settings.grade)} grades"
    )


def done(value: dict[str, Any]) -> None:
    """Print what an action came to; of what has parts, such as a member, the parts that are known."""
    told = {
        key: " ".join(map(str, filter(None, one.values()))) if isinstance(one, dict) else one
        for key, one in value.items()
    }
    print(", ".join(f"{key.replace('_', ' ')} {item}" for key, item in told.items() if item not in (None, [], "")))


def priced(value: dict[str, Any]) -> None:
    """Print what a sale costs or was settled at, and what became of each thing that was asked for."""
    exponent = value["exponent"]
    amounts = ("amount_minor", "discount_minor", "net_minor")
    told = {name.removesuffix("_minor"): money(value[name], exponent) for name in amounts}
    rest = {name: item for name, item in value.items() if name not in (*amounts, "exponent", "asked", "held_until_ms")}
    done({"sale": rest.pop("sale"), **told, **{name: item for name, item in rest.items() if item != 0}})
    for asked in value["asked"]:
        what = asked["coupon"] if asked["what"] == "coupon" else f"{asked['points_redeemed']} of {asked['points']}"
        worth = money(asked["value_minor"], exponent)
        print(f"{asked['what']} {what}: {asked['verdict']} {asked['code']}, {worth} off. {asked['text']}")
