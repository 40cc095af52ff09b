"""The topics of FC-SYNC/1: how names are built and how an incoming topic is read. Pure; knows no payload."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sync.shapes import INCARNATION, STATION

SHARDS = 64
ROOT = "fc/v1"
HO_STATE = f"{ROOT}/ho/state"
BATCH_TOPICS = {"L": "up/l", "A": "up/a", "T": "up/t"}
STREAM_OF_TOPIC = {name: stream for stream, name in BATCH_TOPICS.items()}
UP_NAMES = ("up/hello", "up/l", "up/a", "up/t", "up/state", "up/profile", "up/req", "up/result")
DOWN_NAMES = ("down/welcome", "down/ack", "down/res", "down/cmd")
GROUP_NAMES = ("members/delta", "head")


class TopicError(ValueError):
    """A topic, station, group or incarnation that is not one of the contract's. Ignore the message and count it."""


@dataclass(frozen=True, slots=True)
class StationTopic:
    """``fc/v1/{shard}/s/{station}/{name}``. ``right_shard``: whether the shard is the station's own (W-60)."""

    shard: int
    station: str
    name: str
    right_shard: bool


@dataclass(frozen=True, slots=True)
class GroupTopic:
    """``fc/v1/g/{group}/{name}``."""

    group: str
    name: str


@dataclass(frozen=True, slots=True)
class HoStateTopic:
    """``fc/v1/ho/state``."""


def check_station(station: str) -> str:
    """The station id itself, or TopicError if it does not match ``[A-Za-z0-9_-]{1,32}`` (W-04)."""
    wrong = STATION.defect(station)
    if wrong is not None:
        raise TopicError(f"station id {station!r:.80} {wrong}")
    return station


def check_incarnation(incarnation: str) -> str:
    """The incarnation itself, or TopicError if it is not 32 lower-case hex digits (W-04)."""
    wrong = INCARNATION.defect(incarnation)
    if wrong is not None:
        raise TopicError(f"incarnation {incarnation!r:.80} {wrong}")
    return incarnation


def shard_of(station: str) -> int:
    """First byte of SHA-256(station) mod 64."""
    return hashlib.sha256(check_station(station).encode()).digest()[0] % SHARDS


def station_topic(station: str, name: str) -> str:
    """The full topic of one of UP_NAMES or DOWN_NAMES for a station. Raises TopicError for another name."""
    if name not in UP_NAMES and name not in DOWN_NAMES:
        raise TopicError(f"{name!r:.80} is not a topic of the contract")
    return f"{ROOT}/{shard_of(station)}/s/{station}/{name}"


def down_filter(station: str) -> str:
    """What a station subscribes to before its hello (W-13)."""
    return f"{ROOT}/{shard_of(station)}/s/{check_station(station)}/down/#"


def shard_filter(shard: int) -> str:
    """What a head-office worker subscribes to for one shard (W-27)."""
    if not 0 <= shard < SHARDS:
        raise TopicError(f"shard {shard} is not from 0 to {SHARDS - 1}")
    return f"{ROOT}/{shard}/s/+/up/#"


def shard_in(topic: str) -> int:
    """The shard that a topic of a station names; -1 where it names none. Cheap, for every message of every worker."""
    text = topic[len(ROOT) + 1 : len(ROOT) + 4].partition("/")[0]
    return int(text) if text.isascii() and text.isdigit() else -1


def group_topic(group: str, name: str) -> str:
    """The full topic of one of GROUP_NAMES. A group id follows the rule of station ids."""
    if name not in GROUP_NAMES:
        raise TopicError(f"{name!r:.80} is not a group topic of the contract")
    return f"{ROOT}/g/{check_station(group)}/{name}"


def parse(topic: str) -> StationTopic | GroupTopic | HoStateTopic:
    """Read an incoming topic. Raises TopicError for one outside the contract; a wrong shard is told, not raised."""
    if topic == HO_STATE:
        return HoStateTopic()
    parts = topic.split("/", 5)
    if len(parts) == 6 and parts[:2] == ["fc", "v1"] and parts[3] == "s":
        shard_text, station, name = parts[2], parts[4], parts[5]
        check_station(station)
        known = name in UP_NAMES or name in DOWN_NAMES
        if known and shard_text.isascii() and shard_text.isdigit() and str(int(shard_text[:9])) == shard_text:
            return StationTopic(int(shard_text), station, name, int(shard_text) == shard_of(station))
    parts = topic.split("/", 4)
    if len(parts) == 5 and parts[:3] == ["fc", "v1", "g"] and parts[4] in GROUP_NAMES:
        return GroupTopic(check_station(parts[3]), parts[4])
    raise TopicError(f"not a topic of the contract: {topic!r:.120}")
