#!/usr/bin/env python3
"""What passes a machine of tests/integration/links/nat, and what is in it that others may not read.

Usage: nat_capture.py record INTERFACE FILE       writes down every packet, until SIGTERM
       nat_capture.py pass HOST PORT TEXT TOKENS  sends a tokens frame and TEXT to there as they are
       nat_capture.py hear HOST PORT              takes that, and drops it
       nat_capture.py packets FILE TEXT TOKENS    says how often each of the secrets is in a record
       nat_capture.py memory PROCESS TEXT TOKENS  likewise in what a process has in its memory

TOKENS are numbers with commas between them. The secrets: TEXT, any four TOKENS in a row as frames carry them, and
how frames (docs/formats/frame.md), hellos and verdicts of links (link.md) begin. Streams of TCP are put together
before they are searched.
"""
import itertools
import resource
import signal
import socket
import struct
import sys

TOKENS_IN_A_ROW = 4
FRAME_BEGINS = b"OVF1" + struct.pack("<I", 48)


def secrets(text, tokens):
    numbers = [int(token) for token in tokens.split(",")]
    rows = [struct.pack(f"<{TOKENS_IN_A_ROW}I", *numbers[i:i + TOKENS_IN_A_ROW])
            for i in range(len(numbers) - TOKENS_IN_A_ROW + 1)]
    return {
        "prompt": [text.encode()],
        "tokens": rows,
        "frames": [FRAME_BEGINS],
        "links": [b"OVLH\x01\x00", b"OVLV\x01\x00"],
    }


def frame_of(tokens):
    """Its header's fields do not matter here; its length does."""
    numbers = [int(token) for token in tokens.split(",")]
    return FRAME_BEGINS + struct.pack("<Q", 4 * len(numbers)) + bytes(48) + struct.pack(f"<{len(numbers)}I", *numbers)


def record(interface, path):
    everything = 0x0003  # ETH_P_ALL
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(everything))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    tap.bind((interface, 0))
    tap.settimeout(0.1)
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    with open(path, "wb") as out:
        print("ready", flush=True)
        while not ending:
            try:
                packet = tap.recv(1 << 17)
            except TimeoutError:
                continue
            out.write(struct.pack("<I", len(packet)) + packet)
    # The kernel counts what did not fit: a record with holes proves nothing.
    _, dropped = struct.unpack("II", tap.getsockopt(263, 6, 8))  # SOL_PACKET, PACKET_STATISTICS
    print(f"dropped {dropped}", flush=True)


def packets_of(path):
    with open(path, "rb") as source:
        while head := source.read(4):
            yield source.read(struct.unpack("<I", head)[0])


def streams_of(path):
    """Each direction of each connection of TCP over IPv4, in the order of its bytes, and what is not TCP by packets;
    and the number of packets."""
    streams = []
    latest = {}  # by both ends: the number of the first byte, and the bytes
    count = 0
    for packet in packets_of(path):
        count += 1
        if packet[12:14] != b"\x08\x00" or packet[23] != socket.IPPROTO_TCP:
            streams.append(packet)
            continue
        ip = packet[14:14 + struct.unpack(">H", packet[16:18])[0]]
        tcp = ip[4 * (ip[0] & 15):]
        ends = ip[12:20] + tcp[:4]
        number, begins = struct.unpack(">I", tcp[4:8])[0], tcp[13] & 2  # SYN
        if begins or ends not in latest:
            latest[ends] = (number + 1 if begins else number, bytearray())
            streams.append(latest[ends][1])
        first, data = latest[ends]
        payload = tcp[4 * (tcp[12] >> 4):]
        at = (number - first) & 0xffffffff
        if not payload or at >= 1 << 30:  # nothing, or before the first byte
            continue
        data.extend(bytes(max(0, at + len(payload) - len(data))))
        data[at:at + len(payload)] = payload
    return streams, count


def memory_of(process):
    """What it can write and has touched; constants of the program are no secrets."""
    page = resource.getpagesize()
    with open(f"/proc/{process}/maps", encoding="ascii") as maps, open(f"/proc/{process}/pagemap", "rb") as there, \
            open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "w" not in rights:
                continue
            begin, end = (int(word, 16) // page for word in span.split("-"))
            there.seek(8 * begin)
            touched = [entry >> 62 != 0 for entry in struct.unpack(f"<{end - begin}Q", there.read(8 * (end - begin)))]
            for has, run in itertools.groupby(range(begin, end), lambda number: touched[number - begin]):
                if has:
                    numbers = list(run)
                    memory.seek(page * numbers[0])
                    yield memory.read(page * len(numbers))


def say(pieces, text, tokens):
    found = {name: sum(piece.count(one) for piece in pieces for one in patterns)
             for name, patterns in secrets(text, tokens).items()}
    print(" ".join(f"{name}={times}" for name, times in found.items()))


def main():
    what, rest = sys.argv[1], sys.argv[2:]
    if what == "record":
        record(*rest)
    elif what == "pass":
        with socket.create_connection((rest[0], int(rest[1])), 10) as there:
            there.sendall(b"OVLH\x01\x00" + frame_of(rest[3]) + rest[2].encode())
    elif what == "hear":
        with socket.create_server((rest[0], int(rest[1]))) as server:
            print("ready", flush=True)
            peer, _ = server.accept()
            while peer.recv(1 << 16):
                pass
    elif what == "packets":
        streams, count = streams_of(rest[0])
        print(f"packets={count} bytes={sum(map(len, streams))}", end=" ")
        say(streams, *rest[1:])
    elif what == "memory":
        say(list(memory_of(rest[0])), *rest[1:])
    else:
        sys.exit(__doc__)


main()
