# SPDX-License-Identifier: MIT
"""Cohort's counters while a guest program runs: sampled at the begin and the end of each of its phases.

The program prints "BEGIN name" and "END name" (bench_mark() in guest/bench.h) and, with BENCH_SYNC on the kernel's command line, waits
at each for a line on its console. Cohort, started with -stats=json, prints its counters to standard error at SIGUSR1.
"""

import json
import os
import re
import select
import signal
import time

from emulators import MARKER, Failure, last_line

OPTIONS = ["-stats=json"]
APPEND = "BENCH_SYNC=1"
MARK = re.compile(rb"^(BEGIN|END) (\S+)\s*$")


def read_more(fd, deadline, data):
    left = deadline - time.monotonic()
    if left <= 0 or not select.select([fd], [], [], left)[0]:
        raise Failure("guest timed out; last line: " + last_line(data))
    return os.read(fd, 65536)


def sample(process, limit):
    """One document of counters."""
    fd = process.stderr.fileno()
    deadline = time.monotonic() + limit
    process.send_signal(signal.SIGUSR1)
    text = b""
    while True:
        chunk = read_more(fd, deadline, text)
        if not chunk:
            raise Failure("no counters: " + last_line(text))
        text += chunk
        start = text.find(b'{"total"')
        if start < 0 or not text.endswith(b"}\n"):
            continue
        try:
            return json.loads(text[start:])
        except ValueError:
            continue  # the end of a line, not yet of all


def minus(after, before):
    """Difference of two documents' numbers, by name; lists are left out."""
    if isinstance(after, dict):
        return {k: minus(v, before[k]) for k, v in after.items() if not isinstance(v, list)}
    return after - before


class Phases:
    """Follows the console of a guest whose counters are wanted."""

    def __init__(self, process, limit, counters=True):
        self.process = process
        self.limit = limit
        self.counters = counters  # False: an emulator that has none
        self.text = b""
        self.line = b""
        self.begun = {}
        self.found = {}  # name: difference of the counters, the last time
        self.slices = {}  # name: those of each time
        self.booted = None  # time.monotonic() of the boot marker
        self.at_boot = None  # the counters then, from the start on
        self.complaints = b""  # what was read of standard error

    def mark(self, what, name):
        if self.counters:
            now = sample(self.process, self.limit)
            if what == b"BEGIN":
                self.begun[name] = now
            elif name in self.begun:
                self.found[name] = minus(now, self.begun.pop(name))
                self.slices.setdefault(name, []).append(self.found[name])
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def take(self, chunk):
        self.text += chunk
        if self.booted is None and MARKER in self.text:
            self.booted = time.monotonic()
            if self.counters:
                self.at_boot = sample(self.process, self.limit)
        lines = (self.line + chunk).split(b"\n")
        self.line = lines.pop()
        for line in lines:
            match = MARK.match(line)
            if match:
                self.mark(match.group(1), match.group(2).decode())

    def follow(self):
        """Reads to the end; returns the console's text."""
        deadline = time.monotonic() + self.limit
        out, err = self.process.stdout.fileno(), self.process.stderr.fileno()
        wanted = [out, err]
        while out in wanted:
            ready = select.select(wanted, [], [], max(0, deadline - time.monotonic()))[0]
            if not ready:
                raise Failure("guest timed out; last line: " + last_line(self.text))
            if err in ready:
                said = os.read(err, 65536)  # the counters at the end, which nobody asked for, or why it did not start
                self.complaints = self.complaints[-65536:] + said
                if not said:
                    wanted.remove(err)
            if out in ready:
                chunk = os.read(out, 65536)
                if not chunk:
                    wanted.remove(out)
                self.take(chunk)
        return self.text.decode(errors="replace").replace("\r", "")
