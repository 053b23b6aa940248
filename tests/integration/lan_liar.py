#!/usr/bin/env python3
"""A host of a local network that answers falsely, and writes down the goodbyes that it hears.

Usage: lan_liar.py --cluster NAME --key HEX --echo HOST:PORT [--services N] --goodbyes FILE

To each question about OVIR's nodes it answers, by multicast DNS, with:
  - names that are no text, and TXT records that are too long, empty, or of another version
  - the cluster's name with another key, and the cluster's key with places where nothing listens
  - the address where the searcher itself is to listen
  - N services (default 3000)
  - packets that are cut short, and names that point to themselves
FILE gets a line for each service whose end is announced (a PTR record that lives for 0 seconds).
"""
import argparse
import socket
import struct
import threading

GROUP = ("224.0.0.251", 5353)
TYPE = b"_ovir._tcp"
A, PTR, TXT, SRV = 1, 12, 16, 33


def name(*labels):
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


SERVICES = name(b"_ovir", b"_tcp", b"local")


def record(owner, kind, data, seconds=120):
    return owner + struct.pack("!HHIH", kind, 1, seconds, len(data)) + data


def packet(records):
    return struct.pack("!HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def service(instance, host, address, port, txt):
    owner, at = name(instance, b"_ovir", b"_tcp", b"local"), name(host, b"local")
    return [record(SERVICES, PTR, owner), record(owner, SRV, struct.pack("!HHH", 0, 0, port) + at),
            record(owner, TXT, b"".join(bytes([len(one)]) + one for one in txt) or b"\0"),
            record(at, A, socket.inet_aton(address))]


def told(cluster, key, version=b"1"):
    return [b"v=" + version, b"cluster=" + cluster, b"key=" + key, b"asks=1"]


def lies(given):
    cluster, key = given.cluster.encode(), given.key.encode()
    other = (b"0" if key[:1] != b"0" else b"1") + key[1:]
    host, port = given.echo.rsplit(":", 1)
    yield service(b"\xff\xfe\x1b[31m\x00\n", b"odd", "10.78.0.4", 7300, told(b"odd", other))
    yield service(b"control", b"odd2", "10.78.0.4", 7300, told(b"\x1b[2J\xff", other))
    yield service(b"long", b"long", "10.78.0.4", 7300,
                  told(cluster, other) + [b"x=" + b"y" * 250] * 30)
    yield service(b"empty", b"empty", "10.78.0.4", 7300, [])
    yield service(b"newer", b"newer", "10.78.0.4", 7300, told(cluster, other, b"2"))
    yield service(b"double", b"double", "10.78.0.4", 7300, told(cluster, other))
    yield service(b"same-key", b"same", "10.78.0.4", 9, told(cluster, key))
    yield service(b"other-name", b"same", "10.78.0.4", 10, told(b"not " + cluster[:8], key))
    yield service(b"mirror", b"mirror", host, int(port), told(cluster, key))
    yield service(b"loopback", b"loop", "127.0.0.1", 7300, told(cluster, key))
    for i in range(given.services):
        yield service(b"flood-%d" % i, b"flood-%d" % (i % 200), "10.78.0.%d" % (100 + i % 100),
                      7300 + i % 500, told(b"flood-%d" % (i % 80), b"%064x" % (i % 80 + 1)))


def packets(given):
    for one in lies(given):
        yield packet(one)
    whole = packet(service(b"cut", b"cut", "10.78.0.4", 7300, told(b"cut", given.key.encode())))
    for size in range(0, len(whole), 7):
        yield whole[:size]
    yield struct.pack("!HHHHHH", 0, 0x8400, 0, 65535, 65535, 65535)
    yield struct.pack("!HHHHHH", 0, 0x8400, 0, 1, 0, 0) + b"\xc0\x0c" + struct.pack(
        "!HHIH", PTR, 1, 120, 2) + b"\xc0\x0c"


def read_name(data, at):
    labels, end, jumps = [], None, 0
    while data[at] != 0:
        if data[at] >= 0xC0:
            end = at + 2 if end is None else end
            at = (data[at] & 0x3F) << 8 | data[at + 1]
            jumps += 1
            if jumps > 16:
                raise IndexError
        else:
            labels.append(data[at + 1:at + 1 + data[at]])
            at += 1 + data[at]
    return labels, at + 1 if end is None else end


def goodbyes(data):
    _, _, questions, answers, _, _ = struct.unpack_from("!HHHHHH", data)
    at = 12
    for _ in range(questions):
        _, at = read_name(data, at)
        at += 4
    for _ in range(answers):
        owner, at = read_name(data, at)
        kind, _, seconds, size = struct.unpack_from("!HHIH", data, at)
        at += 10
        if kind == PTR and seconds == 0 and owner[:1] == [b"_ovir"]:
            yield read_name(data, at)[0][0].decode(errors="replace")
        at += size


def is_question(data):
    return len(data) >= 4 and struct.unpack_from("!H", data, 2)[0] & 0x8000 == 0


def open_door():
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("", GROUP[1]))
    door.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                    socket.inet_aton(GROUP[0]) + socket.inet_aton("10.78.0.4"))
    door.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    door.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.78.0.4"))
    door.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    return door


def write_goodbyes(door, path):
    with open(path, "w", buffering=1) as heard:
        while True:
            data, _ = door.recvfrom(65536)
            try:
                if not is_question(data):
                    for one in goodbyes(data):
                        heard.write(one + "\n")
            except (IndexError, struct.error):
                continue


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--echo", required=True)
    parser.add_argument("--services", type=int, default=3000)
    parser.add_argument("--goodbyes", required=True)
    given = parser.parse_args()
    # A door of its own: at the one where it answers for seconds, packets may be lost.
    threading.Thread(target=write_goodbyes, args=(open_door(), given.goodbyes), daemon=True).start()
    door = open_door()
    answers = list(packets(given))
    print("ready", flush=True)
    while True:
        data, sender = door.recvfrom(65536)
        if is_question(data) and b"\x05_ovir\x04_tcp" in data and sender[0] != "10.78.0.4":
            for one in answers:
                door.sendto(one, GROUP)


if __name__ == "__main__":
    main()
