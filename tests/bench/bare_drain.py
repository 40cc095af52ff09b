"""The peer of P4, a process of its own: psycopg alone copies every batch that arrives into a table and commits it.

Called with the broker's port, the database's address and how many records are to come. Says when it listens, then when
all are committed, and its own processor time.
"""

from __future__ import annotations

import json
import queue
import sys
import time

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from sync.envelope import decode_batch

TOPIC = "bare/up"
WITHIN_S = 600.0


def main(port: int, url: str, records: int) -> None:
    """Take batches until ``records`` records are committed."""
    arrived: queue.Queue[bytes] = queue.Queue(512)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bare-consumer")
    client.on_message = lambda _client, _data, message: arrived.put(bytes(message.payload))
    client.on_subscribe = lambda *_: print("listening", flush=True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(TOPIC, 1)
    done = 0
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE bare (seq bigint PRIMARY KEY, incarnation text, stream text, raw bytea)")
        connection.commit()
        while done < records:
            batch = decode_batch(arrived.get(timeout=WITHIN_S))[1]
            with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN") as copy:
                for place, raw in enumerate(batch.records):
                    copy.write_row((batch.first_seq + place, batch.incarnation, batch.stream, raw))
            connection.commit()
            done += len(batch.records)
    print(json.dumps({"ended_s": time.monotonic(), "cpu_s": time.process_time()}), flush=True)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
