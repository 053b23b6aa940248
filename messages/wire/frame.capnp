@0xd1c86a2f3b7e9a41;
# Header of a tensor frame (docs/formats/frame.md). The tensor's bytes follow the header and are no
# part of it: building a large Data field costs milliseconds, writing it behind costs a copy.

struct FrameHeader {
  version @0 :UInt16;   # 1
  kind @1 :UInt16;      # 1 tokens, 2 boundary, 3 logits, 4 and 5 as 1 and 2 with drafts, 6 choice, 7 evidence, 8 hidden
  epoch @2 :UInt32;
  request @3 :UInt64;
  first @4 :UInt32;     # position of the first row
  count @5 :UInt32;     # rows
  width @6 :UInt32;     # elements per row
  logitRows @7 :UInt16; # of the last rows of this frame, logits are wanted from the last stage
  slack @8 :UInt16;     # passes of a stage that may come before the one with this step
}
