#!/usr/bin/env python3
"""A router's half of NAT-PMP (RFC 6886) for tests/integration/links/nat: maps ports by the maps `mapped` (TCP) and
`mapped_udp` of the table `ip router` of nftables, and says each mapping on standard output.

Usage: nat_router.py INSIDE OUTSIDE    its addresses at home and outside
"""
import socket
import struct
import subprocess
import sys


def nft(*words):
    return subprocess.run(["nft", *words], stderr=subprocess.DEVNULL, check=False).returncode == 0


MAPS = {1: "mapped_udp", 2: "mapped"}  # by the opcode of a request
WORDS = {1: " (UDP)", 2: ""}


def map_port(names, inside_host, inside, outside):
    element = f"{{ {outside} : {inside_host} . {inside} }}"
    nft("delete", "element", "ip", "router", names, f"{{ {outside} }}")
    return nft("add", "element", "ip", "router", names, element)


def main():
    at_home, outside_address = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((at_home, 5351))
    print("ready", flush=True)
    while True:
        data, peer = server.recvfrom(64)
        if len(data) < 2 or data[0] != 0:
            continue
        if data[1] == 0:
            answer = struct.pack("!BBHI", 0, 128, 0, 1) + socket.inet_aton(outside_address)
        elif data[1] in MAPS and len(data) >= 12:
            names, word = MAPS[data[1]], WORDS[data[1]]
            inside, outside, lease = struct.unpack("!HHI", data[4:12])
            if lease == 0:
                nft("delete", "element", "ip", "router", names, f"{{ {inside} }}")
                outside = 0
                print(f"unmapped {inside}{word}", flush=True)
            else:
                outside = outside or inside
                map_port(names, peer[0], inside, outside)
                print(f"mapped {outside} to {peer[0]}:{inside}{word}", flush=True)
            answer = struct.pack("!BBHIHHI", 0, 128 + data[1], 0, 1, inside, outside, lease)
        else:
            continue
        server.sendto(answer, peer)


main()
