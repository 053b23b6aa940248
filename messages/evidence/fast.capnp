@0xe6f1c2d94ab7385d;
# Work of the profile fast (docs/formats/fast-record.md).
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ovir::fast_schema");

struct FastRecord {
  magic @0 :UInt64; # "OVIRFAST"
  version @1 :UInt16; # 1
  layers @2 :UInt32;
  dim @3 :UInt32;
  prompt @4 :UInt32;
  model @5 :Data;
  node @6 :Data;
  software @7 :Data;
  tokens @8 :List(UInt32);
  rows @9 :Data; # f32[layers][positions][dim]
  proof @10 :Data;
}
