@0xc3d7e2915b08fa46;
# Header of a message between members of a group that holds one segment (docs/formats/parts.md). What
# the message carries follows the header and is no part of it.

struct GroupHeader {
  version @0 :UInt16; # 1
  kind @1 :UInt16;    # 1 to 7 what crosses within a pass; 8 to 16 orders, K and V, signatures
  member @2 :UInt16;  # of the group: who sends it
  rows @3 :UInt16;    # of the pass
  layer @4 :UInt32;
  step @5 :UInt32;    # of exchanges of the pass, from 0
  width @6 :UInt32;   # elements of a row that the sender has
  block @7 :UInt32;   # 1 attention, 2 feed-forward, 0 neither
  group @8 :UInt64;
  pass @9 :UInt64;
}
