@0xb7f3c9e02d5a4186;
# What leads and stages on different nodes say to each other (docs/formats/wire.md). A kind is one
# message; an optional part is a pointer, null where it is absent. A change raises the version.
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ovir::wire_schema");

struct Bytes32 {
  # A digest or a node's key: its bytes in order, eight to a little-endian word.
  w0 @0 :UInt64;
  w1 @1 :UInt64;
  w2 @2 :UInt64;
  w3 @3 :UInt64;
}

struct WireMessage {
  version @0 :UInt16; # 1
  epoch @1 :UInt32;   # driver generation
  request @2 :UInt64;
  stage @3 :UInt32;   # its first layer

  union {
    # Lead to stage
    open @4 :Open;
    replay @5 :Replay;
    resend @6 :UInt32; # position whose logits are wanted again
    finish @7 :UInt32; # once the stage holds so many positions
    close @8 :Void;
    drawn @9 :DrawnAt;
    names @10 :Names;
    sign @11 :Sign;
    withdraw @20 :Void; # no other scheduler is asked to go on with it
    # Stage to lead
    opened @12 :Opened;
    step @13 :Step;
    finished @14 :Finished;
    failed @15 :Failed;
    # Between nodes
    adopt @16 :RequestLog;
    adopted @17 :Void;
    load @18 :Load;
    loadFailed @19 :LoadFailed;
    unload @21 :Load;
    asked @22 :Bytes32; # a model that requests at the sender want
  }
}

struct Open {
  first @0 :UInt32; # layers [first, last)
  last @1 :UInt32;
  positions @2 :UInt32;
  keep @3 :UInt32;
  nextFirst @4 :UInt32;
  nextLast @5 :UInt32;
  answers @6 :UInt8; # of the last stage: 0 logits, 1 choices, 2 hidden states
  nextIsLead @7 :Bool;
  signs @8 :Bool;  # a sign follows, before which nothing is opened
  traces @9 :Bool; # every step is told, with the time it was computed in
  model @10 :Bytes32;
  nextNode @11 :Bytes32;
  previous @12 :Bytes32;
  log @13 :RequestLog; # null: none
  reuse @14 :Reuse;    # null: the cache is not used
  sealed @15 :Bool;    # inputs of windows are kept for no verifier, and nothing is claimed
}

struct Reuse {
  windows @0 :UInt32; # so many may come from the cache
  explain @1 :Bool;   # the answer says how the lookup went
  prefixes @2 :List(Bytes32); # names of the windows known
  doubted @3 :UInt32; # 0: none; else windows from this less one are not to be found again
}

struct Replay {
  first @0 :UInt32;
  count @1 :UInt32;
  logitRows @2 :UInt32;
}

struct Drawn {
  # A token and the digest of the logits it was drawn from. No pointers: lists of them lie flat.
  token @0 :UInt32;
  w0 @1 :UInt64;
  w1 @2 :UInt64;
  w2 @3 :UInt64;
  w3 @4 :UInt64;
}

struct DrawnAt {
  index @0 :UInt32;
  drawn @1 :Drawn;
}

struct Names {
  # Of windows from `first` on.
  first @0 :UInt32;
  prefixes @1 :List(Bytes32);
}

struct Sign {
  layers @0 :UInt32; # of the model
  deadline @1 :UInt64; # seconds since 1970
  content @2 :Bytes32;
  model @3 :Bytes32;
  stepUs @4 :UInt32; # of a step of the whole path; 0: not known
}

struct Leaf {
  # A finished unit and the digest of its boundary.
  window @0 :UInt32;
  layer @1 :UInt32;
  positions @2 :UInt32;
  w0 @3 :UInt64;
  w1 @4 :UInt64;
  w2 @5 :UInt64;
  w3 @6 :UInt64;
}

struct Opened {
  length @0 :UInt32;
  replaysFrom @1 :UInt32; # the first position whose boundary can be replayed
  memory @2 :UInt64;      # units reused, by where they were
  disk @3 :UInt64;
  peer @4 :UInt64;
  leaves @5 :List(Leaf);
  lookup @6 :Lookup; # null: the open did not ask for it
  inputs @7 :List(Bytes32); # of reused windows, from the first on: what they were computed from
}

struct Lookup {
  wanted @0 :UInt32;     # windows that may come from the cache
  found @1 :UInt32;      # of these
  end @2 :UInt8;         # why no more
  choice @3 :UInt8;      # what came of those that lacked
  windows @4 :UInt32;    # of these, that others claim
  blocks @5 :UInt32;
  windowsGot @6 :UInt32; # from others
  fetchUs @7 :UInt64;    # predicted
  computeUs @8 :UInt64;  # likewise; 0: not known
  tookUs @9 :UInt64;
}

struct Step {
  length @0 :UInt32;
  computeUs @1 :UInt32; # of a request that is traced, else 0
  units @2 :UInt64;
  leaves @3 :List(Leaf);
  heldUs @4 :UInt32; # where all stages tell it, since what it needs had come
}

struct Finished {
  length @0 :UInt32;
  units @1 :UInt64;
  kvBytes @2 :UInt64;
  leaves @3 :List(Leaf);
}

struct Failed {
  code @0 :UInt8; # messages/error.hpp
  text @1 :Data;
}

struct Load {
  model @0 :Bytes32;
  first @1 :UInt32; # layers [first, last)
  last @2 :UInt32;
  spare @3 :Bool; # of an order to fetch: for its disk alone
}

struct LoadFailed {
  model @0 :Bytes32;
  reason @1 :Failed;
}

struct RequestLog {
  # Of the request that the message is about.
  generation @0 :UInt32;
  maxTokens @1 :UInt32;
  sampling @2 :List(UInt64); # messages/request/params_words.hpp
  model @3 :Bytes32;
  prompt @4 :List(UInt32);
  stop @5 :List(Data);
  drawn @6 :List(Drawn);
  union {
    constraint @7 :Data; # empty: none
    ends @13 :Ends; # where few nodes may be sent it
    tiered @14 :Tiered; # where nodes must be attested something
  }
  logprobs @8 :UInt8; # 0: not wanted, else one more than the likeliest tokens told with each
  embedding @9 :UInt8; # 0: none, 1: the mean of hidden states, 2: the last one
  receipt @10 :Bool; # its stages sign
  revealAfter @11 :Bool; # a token is told once it was computed twice
  second @12 :Bool; # the second of two runs: nobody is asked to go on with it
}

struct Ends {
  # Of a request whose first and last layers few nodes compute (messages/request/privacy.hpp).
  constraint @0 :Data; # empty: none
  nodes @1 :List(Bytes32); # ascending
  salt @2 :Bytes32;
  first @3 :UInt16; # layers behind the embedding
  last @4 :UInt16; # layers before the head
}

struct Tiered {
  # Of a request that demands a tier (messages/request/tier.hpp).
  constraint @0 :Data; # empty: none
  attestors @1 :List(Bytes32); # ascending
  operatedBy @2 :Data; # empty, as the next two: not demanded
  region @3 :Data;
  confidential @4 :Data;
  ends @5 :Ends; # where few nodes may be sent it; its constraint is empty
}
