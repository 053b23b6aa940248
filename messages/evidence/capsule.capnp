@0xb7d24f6a91c3e805;
# Receipts with the inputs of what they are about (docs/formats/capsule.md).
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ovir::capsule_schema");

struct Piece {
  first @0 :UInt32; # layers [first, last)
  last @1 :UInt32;
  positions @2 :UInt32; # from the request's first on
  rows @3 :Data; # binary32 [positions][dim], or nothing where first is 0
}

struct Capsule {
  magic @0 :UInt64; # "OVIRCPSL"
  version @1 :UInt16; # 1
  dim @2 :UInt32;
  receipt @3 :Data;
  pieces @4 :List(Piece);
}
