@0xd3a5b8f0427e916c;
# What an auditor keeps instead of a model, and what a worker reveals (docs/formats/prepared.md,
# docs/formats/reveal.md).
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ovir::prepared_schema");

struct Matrix {
  form @0 :UInt8; # 1: scales per 32, 2: superblocks of 256
  rows @1 :UInt32;
  cols @2 :UInt32;
  secret @3 :Data; # u64[rows], below 2^61 - 1
  product @4 :Data; # u64[cols], likewise
  bounds @5 :Data; # u64[rows]
}

struct Layer {
  attentionNorm @0 :Data; # f32[dim]
  feedForwardNorm @1 :Data;
  matrices @2 :List(Matrix); # q, k, v, output, gate, up, down
}

struct Prepared {
  magic @0 :UInt64; # "OVIRPREP"
  version @1 :UInt16; # 1
  layerCount @2 :UInt32;
  dim @3 :UInt32;
  feedForward @4 :UInt32;
  heads @5 :UInt32;
  kvHeads @6 :UInt32;
  headDim @7 :UInt32;
  ropeDim @8 :UInt32;
  vocabulary @9 :UInt32;
  context @10 :UInt32;
  normEpsilon @11 :Float32;
  ropeBase @12 :Float64;
  model @13 :Data;
  seed @14 :Data;
  ropeFactors @15 :Data; # f32
  outputNorm @16 :Data; # f32[dim]
  head @17 :Matrix;
  embedding @18 :Data; # digests of the rows
  layers @19 :List(Layer);
}

struct Reveal {
  magic @0 :UInt64; # "OVIRRVEA"
  version @1 :UInt16; # 1
  window @2 :UInt32;
  layer @3 :UInt32;
  transcript @4 :Data;
  rows @5 :Data; # f32, of layer 0
  sums @6 :List(Data); # i64, of q, k, v, output, gate, up, down, head
  keys @7 :Data; # fp16
  values @8 :Data; # fp16
  heads @9 :Data; # f32
}
