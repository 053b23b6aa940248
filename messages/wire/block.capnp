@0xe4a1b27f5d3c9068;
# Header of a message about kept blocks (docs/formats/blocks.md). What the message carries follows the
# header and is no part of it.

struct BlockHeader {
  version @0 :UInt16; # 1
  kind @1 :UInt16;    # 1 claims, 2 want, 3 block, 4 missing
  number @2 :UInt32;  # of claims: names in the filter; of block and missing: which of those wanted
  ticket @3 :UInt64;  # of want: any; of block and missing: that of the question
}
