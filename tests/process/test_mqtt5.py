"""What MQTT 5 gives beyond 3.1.1, against a real broker: its window, its reasons, and messages that do not wait for ever."""

from __future__ import annotations

import queue
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from sync.client import MAX_MQTT_IN_FLIGHT, MESSAGE_EXPIRY_S, LinkUp
from tests.support.broker import Mosquitto
from tests.support.tls_broker import DEADLINE_S, calling


def test_the_window_of_a_small_broker_is_kept(tmp_path: Path) -> None:
    """A broker that takes three messages at once is handed three at once: it never ends the connection for it [W-14]."""
    with (
        Mosquitto(tmp_path, extra="max_inflight_messages 3", protocol="5") as broker,
        calling(broker.port, None) as one,
    ):
        one.up()
        mids = [one.client.publish("fc/x", b"x" * 1_000) for _ in range(MAX_MQTT_IN_FLIGHT * 2)]
        one.until(lambda: len(one.settled) == len(mids))
        assert None not in mids
        assert [change.protocol for change in one.changes if isinstance(change, LinkUp)] == ["MQTT 5"]
        assert (one.reasons, set(one.settled.values())) == ([], {None})


def test_a_broker_that_takes_less_than_a_batch_says_so(tmp_path: Path) -> None:
    """A message over the broker's limit ends the connection with a word, not with a riddle [W-14]."""
    with Mosquitto(tmp_path, extra="max_packet_size 2000", protocol="5") as broker, calling(broker.port, None) as one:
        one.up().client.publish("fc/x", b"x" * 10_000)
        one.until(lambda: bool(one.reasons))
        assert one.reasons[0] == "packet_too_large"


def test_what_nobody_fetches_expires_and_what_is_retained_stays(tmp_path: Path) -> None:
    """Batches and answers are said again anyway, so they carry an end; a state has none [W-14]."""
    with Mosquitto(tmp_path, protocol="5") as broker, calling(broker.port, None) as one:
        seen: queue.Queue[int | None] = queue.Queue()
        ready: queue.Queue[bool] = queue.Queue()
        reader = paho.Client(CallbackAPIVersion.VERSION2, client_id="r", protocol=MQTTProtocolVersion.MQTTv5)
        reader.on_message = lambda *told: seen.put(getattr(told[2].properties, "MessageExpiryInterval", None))
        reader.on_subscribe = lambda *_: ready.put(True)
        reader.connect("127.0.0.1", broker.port)
        reader.subscribe("fc/#", 1)
        reader.loop_start()
        assert ready.get(timeout=DEADLINE_S)
        one.up().client.publish("fc/x", b"x")
        one.client.publish("fc/x", b"x", retain=True)
        found = [seen.get(timeout=DEADLINE_S) for _ in range(2)]
        reader.disconnect()
        reader.loop_stop()
    assert found[1] is None
    assert found[0] is not None
    assert MESSAGE_EXPIRY_S - DEADLINE_S <= found[0] <= MESSAGE_EXPIRY_S
