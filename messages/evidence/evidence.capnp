@0x9d1c5b7e84f3a26b;
# What stages sign, and receipts (docs/formats/receipt.md). Digests and keys are Data of 32 bytes,
# signatures of 64; lists of digests are Data of 32 bytes each.
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ovir::evidence_schema");

struct Signer {
  first @0 :UInt32; # layers [first, last)
  last @1 :UInt32;
  node @2 :Data;
  software @3 :Data;
}

struct Commitment {
  window @0 :UInt32;
  windows @1 :UInt32;
  statements @2 :UInt32;
  deadline @3 :UInt64; # seconds since 1970
  proof @4 :Data;
  stepUs @5 :UInt32;
}

struct Statement {
  window @0 :UInt32;
  positions @1 :UInt32;
  firstDraw @2 :UInt32;
  computeUs @3 :UInt64;
  elapsedUs @4 :UInt64;
  input @5 :Data;
  units @6 :Data;
  logits @7 :Data;
  proof @8 :Data;
  received @9 :Data; # signature of a link
  choices @10 :Data; # empty, or a token of 32 bits per digest in logits
  kv @11 :Data;
  cited @12 :Data; # 132 bytes each: layer u32, author, binding, signature
  handovers @13 :Data; # 12 bytes each: positions u32, came u32, sent u32
}

struct Link {
  window @0 :UInt32;
  positions @1 :UInt32;
  output @2 :Data;
  proof @3 :Data;
}

struct Stage {
  signer @0 :Signer;
  commitments @1 :List(Commitment);
  statements @2 :List(Statement);
  senders @3 :List(Signer);
}

struct EvidenceBatch {
  version @0 :UInt16; # 1
  request @1 :UInt64;
  stage @2 :Stage;
  links @3 :List(Link);
}

struct Asked {
  request @0 :UInt64;
  layers @1 :UInt32;
  maxTokens @2 :UInt32;
  temperature @3 :Float32;
  topK @4 :UInt32;
  topP @5 :Float64;
  minP @6 :Float64;
  repeatPenalty @7 :Float32;
  seed @8 :UInt64;
  profile @9 :Data;
  model @10 :Data;
  prompt @11 :List(UInt32);
  stop @12 :List(Data);
  union {
    constraint @13 :Data; # empty: none
    rules @14 :Rules; # where a further number or a bias is set
    salted @15 :Salted; # where the content is salted
    attested @16 :Attested; # where a tier was demanded
  }
}

# messages/request/params_words.hpp
struct Rules {
  constraint @0 :Data; # empty: none
  further @1 :List(UInt64);
}

struct Salted {
  constraint @0 :Data; # empty: none
  further @1 :List(UInt64); # empty: none
  salt @2 :Data;
}

struct Attested {
  constraint @0 :Data; # empty: none
  further @1 :List(UInt64); # empty: none
  salt @2 :Data; # empty: none
  attestations @3 :List(Data); # of signers: docs/formats/attestation.md
}

struct Receipt {
  magic @0 :UInt64; # "OVIRRCPT"
  version @1 :UInt16; # 1
  end @2 :UInt8;
  positions @3 :UInt32;
  firstTokenUs @4 :UInt64;
  prefillUs @5 :UInt64;
  decodeUs @6 :UInt64;
  asked @7 :Asked;
  output @8 :List(UInt32);
  transcript @9 :Data;
  lead @10 :Signer;
  stages @11 :List(Stage);
  order @12 :Data;
  closing @13 :Data;
}

struct Summary {
  window @0 :UInt32;
  positions @1 :UInt32;
  units @2 :UInt32;
  firstDraw @3 :UInt32;
  draws @4 :UInt32;
  computeUs @5 :UInt64;
  elapsedUs @6 :UInt64;
  digests @7 :Data; # commitment, input, units' root, draws' root, history
  cited @8 :UInt32;
}

struct CompactStage {
  signer @0 :Signer;
  last @1 :Summary;
  proof @2 :Data;
}

struct CompactReceipt {
  magic @0 :UInt64; # "OVIRCMPT"
  version @1 :UInt16; # 1
  end @2 :UInt8;
  positions @3 :UInt32;
  request @4 :UInt64;
  layers @5 :UInt32;
  output @6 :UInt32;
  firstTokenUs @7 :UInt64;
  prefillUs @8 :UInt64;
  decodeUs @9 :UInt64;
  profile @10 :Data;
  digests @11 :Data; # content, model, output ids, transcript
  lead @12 :Signer;
  stages @13 :List(CompactStage);
  closing @14 :Data;
}

struct Opening {
  magic @0 :UInt64; # "OVIROPEN"
  version @1 :UInt16; # 1
  stage @2 :UInt32;
  layer @3 :UInt32;
  statement @4 :Summary;
  proof @5 :Data;
  statementPath @6 :Data;
  output @7 :Data;
  unitPath @8 :Data;
  kv @9 :Data;
}
