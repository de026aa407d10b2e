"""As much of the DNS as the bench needs: to ask one question, to tell what an answer says, to read a message whole."""

import random
import socket
import struct
import time

A, NS, CNAME, SOA, MX, TXT, AAAA, OPT, HTTPS = 1, 2, 5, 6, 15, 16, 28, 41, 65
NOERROR, NXDOMAIN = 0, 3


def compose(name, qtype, edns=False):
    header = struct.pack(">HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, int(edns))
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    opt = b"\0" + struct.pack(">HHIH", OPT, 1232, 0, 0) if edns else b""
    return header + labels + b"\0" + struct.pack(">HH", qtype, 1) + opt


def exchange(port, query, timeout):
    """The answer over UDP, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        try:
            client.connect(("127.0.0.1", port))
            client.send(query)
            end = time.monotonic() + timeout
            while (left := end - time.monotonic()) > 0:
                client.settimeout(left)
                answer = client.recv(4096)
                if answer[:2] == query[:2] and len(answer) >= 12:
                    return answer
        except OSError:
            return None
    return None


def says(port, name, timeout=0.25):
    """What the A record of a name is: "blocked", "allowed", "failed", or None without an answer."""
    answer = exchange(port, compose(name, A), timeout)
    if not answer:
        return None
    message = Message(answer)
    if message.rcode == NXDOMAIN:
        return "blocked"
    if message.rcode != NOERROR:
        return "failed"
    addresses = [record[3] for record in message.answer if record[1] == A]
    return "allowed" if addresses and b"\0\0\0\0" not in addresses else "blocked"


class Message:
    """A message with all names written out. A record is (owner, type, class, data), an OPT record (size, flags, data)."""

    def __init__(self, octets):
        self.octets = octets
        _, self.flags, *counts = struct.unpack(">HHHHHH", octets[:12])
        self.rcode = self.flags & 15
        self.at, self.opt = 12, None
        self.question = [self.read_question() for _ in range(counts[0])]
        self.answer, self.authority, self.additional = (
            [record for record in [self.read_record() for _ in range(count)] if record] for count in counts[1:]
        )

    def read_name(self):
        name, self.at = self.name_at(self.at)
        return name

    def name_at(self, at):
        labels, after = [], None
        for _ in range(128):
            size = self.octets[at]
            if size >= 0xC0:
                after = after or at + 2
                at = (size & 0x3F) << 8 | self.octets[at + 1]
            elif size:
                labels.append(self.octets[at + 1 : at + 1 + size].lower())
                at += 1 + size
            else:
                return b".".join(labels), after or at + 1
        raise ValueError("a name without an end")

    def read_question(self):
        name = self.read_name()
        self.at += 4
        return (name, *struct.unpack(">HH", self.octets[self.at - 4 : self.at]))

    def read_record(self):
        owner = self.read_name()
        rtype, rclass, ttl, size = struct.unpack(">HHIH", self.octets[self.at : self.at + 10])
        start = self.at + 10
        self.at = start + size
        if rtype == OPT:
            self.opt = (rclass, ttl, self.octets[start : self.at])
            return None
        return (owner, rtype, rclass, self.data(rtype, start, self.at))

    def data(self, rtype, start, end):
        """The data of a record, with the names in it written out."""
        if rtype in (NS, CNAME):
            return self.name_at(start)[0]
        if rtype == MX:
            return self.octets[start : start + 2] + self.name_at(start + 2)[0]
        if rtype == SOA:
            server, at = self.name_at(start)
            mailbox, at = self.name_at(at)
            return server + b" " + mailbox + b" " + self.octets[at:end]
        return self.octets[start:end]
