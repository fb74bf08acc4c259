# SPDX-License-Identifier: MIT
"""A client of gdb's remote serial protocol, small and strict: what the tests need, and a failure where gdb would guess."""

import re
import socket
import time


class Failure(Exception):
    """Something that ends the test with one line."""


def escaped(data):
    return b"".join(bytes([0x7d, c ^ 0x20]) if c in b"$#}*" else bytes([c]) for c in data)


class Client:
    def __init__(self, path, limit=200, again=False):
        """again: the server has been there, so it has ended when its socket is gone."""
        self.limit = limit
        end = time.monotonic() + limit
        while True:  # the emulator is starting
            self.s = socket.socket(socket.AF_UNIX)
            self.s.settimeout(limit)
            try:
                self.s.connect(path)
                break
            except OSError as e:
                self.s.close()
                if time.monotonic() > end or (again and isinstance(e, FileNotFoundError)):
                    raise Failure("cannot connect: %s" % e)
                time.sleep(0.02)
        self.data = b""
        self.regs = {}
        self.acks = True

    def byte(self):
        if not self.data:
            try:
                self.data = self.s.recv(65536)
            except (TimeoutError, socket.timeout):
                raise Failure("no answer in %d s" % self.limit)
            except OSError as e:
                raise Failure("connection: %s" % e)
            if not self.data:
                raise Failure("connection closed")
        c, self.data = self.data[:1], self.data[1:]
        return c

    def send(self, packet):
        body = escaped(packet if isinstance(packet, bytes) else packet.encode())
        self.s.sendall(b"$" + body + b"#%02x" % (sum(body) & 255))

    def packet(self):
        """The next packet of the server; its checksum must be right."""
        while self.byte() != b"$":
            pass
        body = b""
        while (c := self.byte()) != b"#":
            body += c
        told = int(self.byte() + self.byte(), 16)
        if told != sum(body) & 255:
            raise Failure("checksum of %r" % body)
        try:
            if self.acks:
                self.s.sendall(b"+")
        except OSError:
            pass  # the answer to a detach: the connection ends behind it
        return re.sub(rb"\}(.)", lambda m: bytes([m.group(1)[0] ^ 0x20]), body, flags=re.S)

    def ask(self, packet):
        self.send(packet)
        return self.packet().decode("latin-1")

    def ok(self, packet):
        answer = self.ask(packet)
        if answer != "OK":
            raise Failure("%r: %r" % (packet, answer))

    def no_acks(self):
        self.ok("QStartNoAckMode")
        self.acks = False

    def describe(self):
        """Reads target.xml: {name: (number, bytes)}."""
        xml = ""
        while True:
            part = self.ask("qXfer:features:read:target.xml:%x,%x" % (len(xml), 1000))
            if part[:1] not in ("l", "m"):
                raise Failure("target.xml: %r" % part[:40])
            xml += part[1:]
            if part[0] == "l":
                break
        self.regs = {m[0]: (int(m[2]), int(m[1]) // 8)
                     for m in re.findall(r'<reg name="(\w+)" bitsize="(\d+)" type="\w+" regnum="(\d+)"/>', xml)}
        return xml

    def reg(self, name, thread=None):
        if thread:
            self.ok("Hg%x" % thread)
        return int.from_bytes(bytes.fromhex(self.ask("p%x" % self.regs[name][0])), "little")

    def set_reg(self, name, value):
        n, size = self.regs[name]
        self.ok("P%x=%s" % (n, value.to_bytes(size, "little").hex()))

    def read(self, addr, size):
        answer = self.ask("m%x,%x" % (addr, size))
        return None if answer.startswith("E") and len(answer) == 3 else bytes.fromhex(answer)

    def threads(self):
        answer = self.ask("qfThreadInfo")
        if answer[:1] != "m" or self.ask("qsThreadInfo") != "l":
            raise Failure("threads: %r" % answer)
        return [int(t, 16) for t in answer[1:].split(",")]

    def monitor(self, line):
        """What the command monitor says to the line."""
        self.send("qRcmd," + line.encode().hex())
        text = b""
        while (part := self.packet()) != b"OK":
            if part[:1] != b"O":
                raise Failure("monitor %r: %r" % (line, part[:40]))
            text += bytes.fromhex(part[1:].decode())
        return text.decode()

    def interrupt(self):
        self.s.sendall(b"\x03")
        return self.stopped()

    def stopped(self):
        """The answer to a continue: (signal, thread, {what: value}); None when the guest has ended."""
        answer = self.packet().decode("latin-1")
        if answer.startswith("W"):
            return None
        m = re.fullmatch(r"T([0-9a-f]{2})((?:[a-z]+:[0-9a-f]*;)*)", answer)
        if not m:
            raise Failure("stop: %r" % answer)
        more = dict(part.split(":") for part in m.group(2).split(";") if part)
        return int(m.group(1), 16), int(more["thread"], 16), more

    def go(self, packet="vCont;c"):
        self.send(packet)
        got = self.stopped()
        if not got:
            raise Failure("the guest has ended")
        return got

    def close(self):
        self.s.close()
