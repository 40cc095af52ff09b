"""Exchanges on one loop that several pumps share: echo, pauses, reply windows, and the gate for blocks (section 1).

Knows words and the port's clock. Knows no state of a pump and nothing of sales.
"""

from __future__ import annotations

from drivers.asked import Heard
from drivers.gilbarco.codec import MAX_BLOCK, Answer, Command, Decoder, Reply, Status, word
from drivers.gilbarco.options import GilbarcoOptions
from drivers.port import Port

BITS_PER_CHARACTER = 11
ECHO_WAIT_S = 0.160  # longest first byte seen through converters, and some more
MAX_ANSWER_BYTES = 2 * MAX_BLOCK  # one answer and as much noise: a loop that babbles costs one turn, not the line


class Loop:
    """What the pumps of one loop share.

    ``gate_locked_until_s``: a block carries no pump's number, it belongs to the pump that was announced. An
    announcement whose answer was lost may have opened a gate, so for a while none is made on the whole loop.
    ``echoed``: an answer began with the very bytes that were sent.
    """

    def __init__(self, options: GilbarcoOptions, baudrate: int) -> None:
        self.options = options
        self.gate_locked_until_s: float | None = None
        self.echoed = False
        self._character_s = BITS_PER_CHARACTER / baudrate
        self._busy_until_s: float | None = None
        self._rejected: dict[str, int] = {}

    def forget(self) -> None:
        """The port was lost or a pump is gone: nothing of the stream before counts."""
        self._busy_until_s = None
        self.echoed = False

    def take_counts(self) -> dict[str, int]:
        """What was dropped since the last call, by counter name."""
        taken, self._rejected = self._rejected, {}
        return {f"frames_rejected.{reason}": count for reason, count in taken.items()}

    def send(self, port: Port, sent: bytes) -> bool:
        """Send after a pause; returns whether the loop carried it: false where the echo asked for is another."""
        if self._busy_until_s is not None:
            wait_s = self._busy_until_s + self.options.pause_s - port.monotonic()
            if wait_s > 0:
                port.pause(wait_s)
        if port.discard():
            self._count("late")
        port.write(sent)
        self._busy_until_s = port.monotonic() + len(sent) * self._character_s
        if not self.options.strip_echo:
            return True
        echo = self._exactly(port, len(sent))
        if echo != sent:
            self._count("echo")
        return echo == sent

    def ask(
        self, port: Port, sent: bytes, form: Reply, pump: int, window_s: float | None = None, *, probe: bool = False
    ) -> Answer | Heard:
        """Send ``sent`` and return its answer. An answer without a frame counts only when nothing else came with it."""
        if not self.send(port, sent):
            return Heard.NOISE
        decoder = Decoder(form, pump)
        answers, heard = self._listen(
            port, decoder, sent, self.options.reply_window_s if window_s is None else window_s
        )
        if answers and not probe:
            heard += len(port.read(MAX_BLOCK, self._quiet_s(sent, answers[0])))
        decoder.silence()
        for reason, count in decoder.rejected.items():
            self._count(reason, count)
        if answers and form.size and heard > form.size:
            self.echoed = self.echoed or _reads_like(sent, answers[0])
            self._count("trailing")
            return Heard.NOISE
        if answers:
            return answers[0]
        return Heard.NOISE if heard else Heard.NOTHING

    def announce(self, port: Port, pump: int) -> bool:
        """Open the gate of ``pump`` for one block (2n, Dn). A refusal locks the gate of the loop for a while."""
        answer = self.ask(port, word(Command.DATA_NEXT, pump), Reply.SEND_DATA, pump)
        if isinstance(answer, Heard):
            self.gate_locked_until_s = port.monotonic() + self.options.gate_lock_s
            self._count("no-send-data")
            return False
        return True

    def is_gate_locked(self, now_s: float) -> bool:
        """Whether an announcement must wait."""
        return self.gate_locked_until_s is not None and now_s < self.gate_locked_until_s

    def _listen(self, port: Port, decoder: Decoder, sent: bytes, window_s: float) -> tuple[list[Answer], int]:
        """Answers, and how many bytes came."""
        began_s = port.monotonic() if self._busy_until_s is None else self._busy_until_s
        deadline_s = began_s + window_s
        form, first = decoder.expected, b""
        heard = 0
        answers: list[Answer] = []
        while heard < MAX_ANSWER_BYTES and not answers:
            data = port.read(MAX_BLOCK, max(0.0, deadline_s - port.monotonic()))
            if not data:
                break
            heard += len(data)
            first = (first + data)[: len(sent)]
            self._busy_until_s = port.monotonic()
            answers = decoder.feed(data)
            if form.size and not decoder.in_frame:
                break  # a status is one word: anything else is noise, and nothing better will come
            deadline_s = self._busy_until_s + self.options.gap_in_frame_s if decoder.in_frame else deadline_s
        self.echoed = self.echoed or (first == sent and not answers)
        return answers, heard

    def _quiet_s(self, sent: bytes, answer: Answer) -> float:
        """How long nothing may follow. The status of a pump in error is byte for byte an echo of the question."""
        return ECHO_WAIT_S if _reads_like(sent, answer) and not self.options.strip_echo else self.options.pause_s

    def _exactly(self, port: Port, size: int) -> bytes:
        deadline_s = (self._busy_until_s or port.monotonic()) + self.options.reply_window_s
        read = b""
        while len(read) < size:
            data = port.read(size - len(read), max(0.0, deadline_s - port.monotonic()))
            if not data:
                break
            read += data
            self._busy_until_s = port.monotonic()
        return read

    def _count(self, reason: str, count: int = 1) -> None:
        self._rejected[reason] = self._rejected.get(reason, 0) + count


def _reads_like(sent: bytes, answer: Answer) -> bool:
    return isinstance(answer, Status) and sent == bytes((answer.state << 4 | answer.pump & 0x0F,))
