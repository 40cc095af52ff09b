// The page of a handheld: tiles, one input that is always ready for a scan, one big answer with a tone.
// Text of a scan goes to the station unchanged and is kept nowhere. Works by keystrokes and ENTER, without any app.
"use strict";

const WORDS = {
  "zh-CN": {
    ready: "请扫会员码", sending: "…", again: "网络不稳,正在重试…", lost: "连不上站点,请再扫一次",
    code: "配对码(6位,请联系站长)", pair: "配对", wrong: "配对码不对", staff: "工号", pin: "密码", enter: "登录", leave: "退出", undo: "取消", change: "更正:请扫正确的会员码,或解除关联", remove: "解除关联", back: "返回",
    phone: "手机号", plate: "车牌(可不填)", enrol: "入会/查找",
    reasons: { wrong_member: "会员扫错", wrong_sale: "交易选错", customer_request: "顾客要求", scanned_by_mistake: "误扫" },
    slow: "太快了,请稍等", point: "#号枪", linked: "已关联", used: "使用中", ago: "秒前", none: "请再试一次",
    states: { Idle: "空闲", Calling: "已提枪", Authorised: "已授权", Started: "加油中", Fuelling: "加油中", Offline: "离线",
      Closed: "关闭", Inoperative: "故障", SuspendedStarted: "暂停", SuspendedFuelling: "暂停" },
  },
  en: {
    ready: "Scan a member code", sending: "…", again: "No answer yet, trying again…", lost: "Station not reached, scan again",
    code: "Pairing code (6 digits, from the supervisor)", pair: "Pair", wrong: "Wrong code", staff: "Staff number",
    pin: "PIN", enter: "Sign in", leave: "Sign out", undo: "Cancel", change: "Correct: scan the right code, or remove the link", remove: "Remove the link", back: "Back",
    phone: "Phone number", plate: "Plate (may stay empty)", enrol: "Enrol or find",
    reasons: { wrong_member: "wrong member", wrong_sale: "wrong sale", customer_request: "customer asked", scanned_by_mistake: "scanned by mistake" }, slow: "Too fast, wait a moment", point: "Point #", linked: "linked",
    used: "in use", ago: "s ago", none: "Try again",
    states: { Idle: "idle", Calling: "lifted", Authorised: "authorised", Started: "fuelling", Fuelling: "fuelling",
      Offline: "offline", Closed: "closed", Inoperative: "out of order", SuspendedStarted: "paused", SuspendedFuelling: "paused" },
  },
};
const TONES = { good: [[880, 0.12]], ask: [[660, 0.1], [660, 0.1]], bad: [[220, 0.45]] };
const SHAKES = { good: [60], ask: [60, 60, 60], bad: [400] };
const TRIES = 8, PAUSE_MS = 700, LOOK_MS = 1000, SHOWN_MS = 8000, WAIT_MS = 2500;
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const $ = (id) => document.getElementById(id);

let station = null, words = WORDS[document.documentElement.lang] || WORDS.en, sound = null, meant = [], clearing = 0, waiting = [], busy = false, changing = null, reason = "wrong_member", picked = null;

function ulid() {
  let time = Date.now(), head = "";
  for (let n = 0; n < 10; n++) { head = ALPHABET[time % 32] + head; time = Math.floor(time / 32); }
  const chance = crypto.getRandomValues(new Uint8Array(16));
  return head + Array.from(chance, (byte) => ALPHABET[byte % 32]).join("");
}

async function call(method, path, body) {
  const stop = new AbortController(), timer = setTimeout(() => stop.abort(), WAIT_MS);
  try {
    const options = { method, signal: stop.signal, credentials: "same-origin", headers: {} };
    if (body !== undefined) { options.headers["Content-Type"] = "application/json"; options.body = JSON.stringify(body); }
    const response = await fetch(path, options);
    return { status: response.status, value: await response.json() };
  } catch { return { status: 0, value: null }; } finally { clearTimeout(timer); }
}

// Asked until it is answered; the station gives the same scan_id the same answer, so nothing happens twice.
async function insist(method, path, body) {
  for (let n = 0; n < TRIES; n++) {
    const got = await call(method, path, body);
    if (got.status !== 0 && got.status !== 429 && got.status !== 503) return got;
    say("quiet", words.again);
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
  return { status: 0, value: null };
}

function say(tone, text) {
  $("answer").className = tone;
  $("answer").textContent = text;
  clearTimeout(clearing);
  if (tone !== "quiet") {
    if (navigator.vibrate) navigator.vibrate(SHAKES[tone]);
    beep(TONES[tone]);
    clearing = setTimeout(() => { meant = []; say("quiet", words.ready); draw(); }, SHOWN_MS);
  }
}

function beep(notes) {
  try {
    sound = sound || new AudioContext();
    let at = sound.currentTime;
    for (const [pitch, length] of notes) {
      const note = sound.createOscillator();
      note.frequency.value = pitch;
      note.connect(sound.destination);
      note.start(at);
      note.stop(at + length);
      at += length + 0.08;
    }
  } catch { /* a browser without sound still shows and shakes */ }
}

function tell(got) {
  if (got.status === 200) {
    const { tone, message, member, choices } = got.value;
    meant = choices;
    // What is read aloud to confirm stands there even where the sentence leaves it out.
    const who = member && !message.includes(member.mask) ? `\n${member.mask} ${member.tier}` : "";
    say(tone, message + who);
  } else if (got.status === 0) {
    say("bad", words.lost);
  } else {
    say("bad", got.value.message || words.none);
  }
  look();
}

async function work() {
  if (busy) return;
  busy = true;
  while (waiting.length) {
    const scan = waiting.shift();
    say("quiet", words.sending);
    tell(await insist("POST", scan.reason ? "/v1/changes" : "/v1/scans", scan));
  }
  busy = false;
}

function scanned() {
  const text = $("scan").value;
  $("scan").value = "";
  if (!text) return;
  if (changing) return corrected(text);
  waiting.push({ scan_id: ulid(), text, fuelling_point: null, sale: null });
  work();
}

// A green tile was tapped: its link is wrong. The next scan is the right member, or the link is removed.
function correct(sale) {
  changing = sale;
  $("change").hidden = sale === null;
  if (sale) say("quiet", words.change);
  focus();
}

function corrected(text) {
  waiting.push({ scan_id: ulid(), sale: changing, reason, text });
  correct(null);
  work();
}

// A phone number instead of a code: for the sale whose tile was tapped last, else for nobody's.
function enter(shown) {
  $("enrolment").hidden = !shown;
  $("phone").value = $("plate").value = "";
  focus();
}

async function enrolled() {
  const phone = $("phone").value.trim(), plate = $("plate").value.trim() || null, sale = picked;
  if (!phone) return;
  enter(false);
  picked = null;
  say("quiet", words.sending);
  tell(await insist("POST", "/v1/enrolments", { request: ulid(), phone, plate, sale }));
}

async function tapped(choice) {
  picked = choice.sale;
  say("quiet", words.sending);
  tell(await insist("POST", "/v1/choices", choice));
}

const litres = (ml) => (ml === null ? "" : (ml / 1000).toFixed(2) + " L");
const money = (minor) => (minor === null ? "" : (minor / 10 ** station.exponent).toFixed(station.exponent) + " " + station.currency);

// A tile stays the same button as long as it stands for the same: what is under a finger must not be taken away.
function place(tiles) {
  const there = Array.from($("tiles").children);
  const same = there.length === tiles.length && tiles.every((tile, n) => tile.key === there[n].key);
  const buttons = same ? there : tiles.map(() => document.createElement("button"));
  tiles.forEach(({ key, kind, lines, wanted, tap }, n) => {
    const button = buttons[n], text = lines.filter(Boolean).join("\n");
    if (!same) button.addEventListener("click", () => button.tap());
    Object.assign(button, { type: "button", key, tap, className: kind + (wanted ? " meant" : "") });
    if (button.textContent !== text) button.textContent = text;
  });
  if (!same) $("tiles").replaceChildren(...buttons);
}

function draw() {
  if (!station) return;
  const found = [];
  for (const point of station.points) {
    const title = words.point.replace("#", point.fuelling_point);
    const flows = point.volume_ml !== null || point.state === "Started" || point.state === "Fuelling";
    const wanted = meant.some((c) => c.sale === null && c.fuelling_point === point.fuelling_point);
    const state = words.states[point.state] || point.state;
    const choice = { fuelling_point: point.fuelling_point, sale: null, live: flows };
    const now = [title + " " + state, point.grade && "#" + point.grade, litres(point.volume_ml), money(point.amount_minor)];
    const kind = flows ? "flows" : "free";
    found.push({ key: point.fuelling_point + kind, kind, lines: now, wanted, tap: () => tapped(choice) });
    for (const sale of point.sales) {
      const lines = [title + " #" + sale.grade, litres(sale.volume_ml), money(sale.amount_minor), sale.since_hang_up_s + " " + words.ago,
        sale.linked ? words.linked : sale.claimed_by ? words.used + " " + sale.claimed_by : ""];
      const asked = meant.some((c) => c.sale === sale.sale);
      const tap = sale.linked ? () => correct(sale.sale) : () => tapped({ fuelling_point: null, sale: sale.sale });
      const kind = sale.linked ? "linked" : "sale";
      found.push({ key: sale.sale + kind, kind, lines, wanted: asked, tap });
    }
  }
  place(found);
}

function show(part) {
  for (const id of ["pairing", "session", "tiles"]) $(id).hidden = id !== part;
  $("scan").hidden = $("undo").hidden = $("by-phone").hidden = part !== "tiles";
  if (part !== "tiles" && !$("enrolment").hidden) enter(false);
  if (part !== "tiles" && changing) correct(null);
  $("leave").hidden = part !== "tiles" || !station || !station.attendant;
  focus();
}

// The field that is wanted has the cursor, whatever was tapped; between id and PIN only the attendant moves it.
function focus() {
  const wanted = !$("enrolment").hidden ? ["phone", "plate"] : !$("tiles").hidden ? ["scan"] : !$("pairing").hidden ? ["code"] : ["staff", "pin"];
  if (!wanted.some((id) => document.activeElement === $(id))) $(wanted[0]).focus({ preventScroll: true });
}

function label() {
  $("code-label").textContent = words.code;
  $("pair").textContent = words.pair;
  $("staff-label").textContent = words.staff;
  $("pin-label").textContent = words.pin;
  $("enter").textContent = words.enter;
  $("leave").textContent = words.leave;
  $("undo").textContent = words.undo;
  $("remove").textContent = words.remove;
  $("back").textContent = $("not-now").textContent = words.back;
  $("by-phone").textContent = $("phone-label").textContent = words.phone;
  $("plate-label").textContent = words.plate;
  $("enrol").textContent = words.enrol;
  const reasons = Object.keys(words.reasons);
  if (!$("reasons").children.length) {
    $("reasons").replaceChildren(...reasons.map((value) => {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => { reason = value; label(); });
      return button;
    }));
  }
  reasons.forEach((value, n) => {
    $("reasons").children[n].textContent = words.reasons[value];
    $("reasons").children[n].className = value === reason ? "meant" : "";
  });
  $("device").textContent = station ? station.device : "";
  $("who").textContent = station && station.attendant ? station.attendant.name : "";
}

async function look() {
  const got = await call("GET", "/v1/points");
  if (got.status === 200) {
    const first = station === null;
    station = got.value;
    label();
    if (station.needs_sign_in && !station.attendant) return show("session");
    show("tiles");
    if (first) say("quiet", words.ready);
    draw();
  } else if (got.status === 401) {
    station = null;
    label();
    show("pairing");
  }
}

$("scan").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); scanned(); }
});
$("pairing").addEventListener("submit", async (event) => {
  event.preventDefault();
  const got = await call("POST", "/v1/pairing", { code: $("code").value.trim(), kind: "page" });
  $("code").value = "";
  if (got.status === 200) say("quiet", words.ready); else say("bad", got.status === 429 ? words.slow : words.wrong);
  look();
});
$("session").addEventListener("submit", async (event) => {
  event.preventDefault();
  const staff = $("staff").value.trim(), pin = $("pin").value;
  if (!staff) return;
  // A scanned badge comes as digits and ENTER, without a PIN; ENTER after another id goes on to the PIN.
  const isBadge = !pin && /^[0-9]{4,24}$/.test(staff);
  if (!pin && !isBadge && document.activeElement !== $("pin")) return $("pin").focus({ preventScroll: true });
  const got = await call("POST", "/v1/session", isBadge ? { badge: staff } : { staff, pin: pin || null });
  $("pin").value = "";
  $("staff").value = "";
  if (got.status === 200) say("quiet", words.ready); else tell(got);
  look();
});
$("remove").addEventListener("click", () => corrected(null));
$("back").addEventListener("click", () => { correct(null); say("quiet", words.ready); });
$("by-phone").addEventListener("click", () => enter(true));
$("not-now").addEventListener("click", () => enter(false));
$("enrolment").addEventListener("submit", (event) => { event.preventDefault(); enrolled(); });
$("undo").addEventListener("click", async () => { say("quiet", words.sending); tell(await insist("DELETE", "/v1/choices")); });
$("leave").addEventListener("click", async () => { await insist("DELETE", "/v1/session"); look(); });
document.addEventListener("click", focus);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
setInterval(() => { if (!document.hidden) { focus(); look(); } }, LOOK_MS);
label();
look();
