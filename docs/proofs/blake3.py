"""BLAKE3 as its specification has it: key derivation and extendable output, in plain integers."""

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB,
      0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
CONTEXT, MATERIAL = 32, 64
MASK = 0xFFFFFFFF


def schedule():
    """Which words of a block each of the seven rounds takes, in the order of its mixing."""
    rounds, order = [], list(range(16))
    for _ in range(7):
        rounds.append(tuple(order))
        order = [order[i] for i in ORDER]
    return rounds


ROUNDS = schedule()
PLACES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
          (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def compress(chain, words, counter, size, flags):
    """All 16 words of the state behind the last round."""
    s = [*chain, *IV[:4], counter & MASK, counter >> 32, size, flags]
    for order in ROUNDS:
        k = 0
        for ia, ib, ic, id_ in PLACES:
            a, b, c, d = s[ia], s[ib], s[ic], s[id_]
            a = (a + b + words[order[k]]) & MASK
            d ^= a
            d = (d >> 16 | d << 16) & MASK
            c = (c + d) & MASK
            b ^= c
            b = (b >> 12 | b << 20) & MASK
            a = (a + b + words[order[k + 1]]) & MASK
            d ^= a
            d = (d >> 8 | d << 24) & MASK
            c = (c + d) & MASK
            b ^= c
            s[ia], s[ib], s[ic], s[id_] = a, (b >> 7 | b << 25) & MASK, c, d
            k += 2
    return [s[i] ^ s[i + 8] for i in range(8)] + [s[i + 8] ^ chain[i] for i in range(8)]


def words_of(block):
    return [int.from_bytes(block[i:i + 4], "little") for i in range(0, 64, 4)]


def chunk_node(key, data, counter, flags):
    """The last compression of a chunk, not yet done: chain, words, counter, size, flags."""
    chain, start = key, CHUNK_START
    while len(data) > 64:
        chain = compress(chain, words_of(data[:64]), counter, 64, flags | start)[:8]
        data, start = data[64:], 0
    return chain, words_of(data.ljust(64, b"\0")), counter, len(data), flags | start | CHUNK_END


def parent_node(key, left, right, flags):
    return key, left + right, 0, 64, flags | PARENT


def root_node(key, data, flags):
    """The left part of a tree holds the largest power of two of chunks that leaves some over."""
    def node(first, data):
        chunks = (len(data) + 1023) // 1024
        if chunks <= 1:
            return chunk_node(key, data, first, flags)
        left = 1 << ((chunks - 1).bit_length() - 1)
        parts = node(first, data[:left * 1024]), node(first + left, data[left * 1024:])
        return parent_node(key, *(compress(*part)[:8] for part in parts), flags)
    return node(0, data)


def output(node, size):
    chain, words, _, block_size, flags = node
    out = b""
    for counter in range((size + 63) // 64):
        block = compress(chain, words, counter, block_size, flags | ROOT)
        out += b"".join(word.to_bytes(4, "little") for word in block)
    return out[:size]


KEYS = {}


def derive(context, data, size=32):
    """`size` bytes of the key derivation with `context` from `data`."""
    if context not in KEYS:
        key = output(root_node(IV, context.encode(), CONTEXT), 32)
        KEYS[context] = tuple(words_of(key.ljust(64, b"\0"))[:8])
    return output(root_node(KEYS[context], data, MATERIAL), size)
