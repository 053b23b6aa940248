@0xc4e19d3a70b5f826;
# About audits (docs/formats/audit.md). Digests and keys are Data of 32 bytes, signatures of 64.
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ovir::audit_schema");

struct Place {
  part @0 :UInt8; # 1 unit, 2 draw, 3 token, 4 K and V
  window @1 :UInt32;
  layer @2 :UInt32;
  position @3 :UInt32;
}

struct Verdict {
  verifier @0 :Data;
  proof @1 :Data;
  kernels @2 :UInt8; # 1 reference, 2 avx2, 3 avx512
  software @3 :Data;
}

struct Conviction {
  kind @0 :UInt8; # 1 replay, 2 equivocation, 3 parts
  guilty @1 :Data;
  place @2 :Place;
  computed @3 :Data;
  receipts @4 :List(Data);
  verdicts @5 :List(Verdict);
  fault @6 :UInt8; # 0 nothing admitted, 1 hardware, 2 software
  admission @7 :Data; # a signature, or empty
}

struct Finding {
  stage @0 :UInt16;
  what @1 :UInt8; # 1 right, 2 wrong, 3 missing
  window @2 :UInt32;
}

struct Addendum {
  receipt @0 :Data;
  verifier @1 :Data;
  kernels @2 :UInt8;
  software @3 :Data;
  time @4 :UInt64; # seconds since 1970
  units @5 :List(Finding);
  proof @6 :Data;
}

struct Addenda {
  magic @0 :UInt64; # "OVIRADDN"
  version @1 :UInt16; # 1
  all @2 :List(Addendum);
}

# A window of a stage, and nothing that anybody stated of it.
struct Task {
  model @0 :Data;
  modelLayers @1 :UInt32;
  first @2 :UInt32; # layers [first, last)
  last @3 :UInt32;
  positions @4 :UInt32; # to the window's end
  prompt @5 :UInt32; # of the tokens
  temperature @6 :Float32;
  topK @7 :UInt32;
  topP @8 :Float64;
  minP @9 :Float64;
  repeatPenalty @10 :Float32;
  seed @11 :UInt64;
  constraint @12 :Data; # empty: none
  input @13 :Data; # all zero where the model begins
  kv @14 :Data; # of each earlier window, each layer, 32 bytes
  further @15 :List(UInt64); # messages/request/params_words.hpp; null: none is set
}

struct AuditMessage {
  version @0 :UInt16; # 1
  union {
    offer :group {
      suspect @1 :Bool;
      receipt @2 :Data;
      drawn @22 :Bool;
    }
    question :group {
      number @3 :UInt64;
      task @4 :Task;
      tokens @5 :Data; # u32 each, of the task
      taken @14 :Data; # kernels, a byte each, ascending
    }
    answer :group {
      number @6 :UInt64;
      outcome @7 :Data;
      proof @8 :Data;
    }
    conviction @9 :Conviction;
    known :group {
      answer @10 :Bool;
      convicted @11 :Data; # keys, ascending
    }
    standing :group {
      nodes @12 :Data; # keys, ascending
      reputations @13 :Data; # u32 each, in ppm
    }
    accusation :group {
      number @15 :UInt64;
      what @16 :Conviction;
      capsule @17 :Data;
    }
    defence :group {
      number @18 :UInt64;
      fault @19 :UInt8; # 0: the accused contests
      admission @20 :Data;
      counter @21 :Verdict; # null where it admits
    }
    addendum @23 :Addendum;
    reveal :group {
      number @24 :UInt64;
      place @25 :Place;
      receipt @26 :Data;
    }
    vouch :group {
      number @27 :UInt64;
      computed @28 :Data;
      verdict @29 :Verdict;
    }
  }
}
