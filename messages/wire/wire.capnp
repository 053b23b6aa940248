@0xb7f3c9e02d5a4186;
# What leads and stages on different nodes say to each other (docs/formats/wire.md). Fields are never
# removed, renumbered or given another meaning; a change of an existing kind raises the version.
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
  version @0 :UInt16; # 2
  epoch @1 :UInt32;   # driver generation
  request @2 :UInt64;
  stage @3 :UInt32;   # its first layer

  union {
    open @4 :Open;
    replay @5 :Replay;
    resend @6 :UInt32; # position whose logits are wanted again
    finish @7 :Void;
    close @8 :Void;
    drawn @9 :DrawnAt;
    opened @10 :Progress; # units and kvBytes are 0
    step @11 :Progress;   # kvBytes is 0
    finished @12 :Progress;
    failed @13 :Failed;
    adopt @14 :RequestLog;
    adopted @15 :Void;
    sign @16 :Sign;
    names @17 :Names;
    openReusing @18 :OpenReusing;     # an open of a request that may use the cache
    openedReusing @19 :OpenedReusing; # an opened that reused units
    finishAt @20 :UInt32; # a finish, once the stage holds so many positions: at least 1
    openExplaining @21 :OpenReusing;  # an openReusing whose answer says how the lookup went
    openedExplained @22 :OpenedExplained;
    load @23 :Load;
    loadFailed @24 :LoadFailed;
  }
}

struct Open {
  first @0 :UInt32; # layers [first, last)
  last @1 :UInt32;
  positions @2 :UInt32;
  keep @3 :UInt32;
  nextIsLead @4 :Bool;
  nextFirst @5 :UInt32;
  nextLast @6 :UInt32;
  model @7 :Bytes32;
  nextNode @8 :Bytes32;
  previous @9 :Bytes32;
  log @10 :RequestLog; # null: none
  highest @11 :Bool; # the last stage answers with the highest logit's token
  signs @12 :Bool; # a sign follows, before which nothing is opened
  hidden @13 :Bool; # the last stage answers with hidden states; not with `highest`
  traces @14 :Bool; # every step is told, with the time it was computed in
}

struct Sign {
  layers @0 :UInt32; # of the model
  deadline @1 :UInt64; # seconds since 1970
  content @2 :Bytes32;
  model @3 :Bytes32;
}

struct Names {
  # Of windows from `first` on.
  first @0 :UInt32;
  prefixes @1 :List(Bytes32);
}

struct OpenReusing {
  windows @0 :UInt32; # so many may come from the cache
  open @1 :Open;
  prefixes @2 :List(Bytes32); # names of the windows known
}

struct OpenedReusing {
  replaysFrom @0 :UInt32; # the first position whose boundary can be replayed
  memory @1 :UInt64;      # units reused, by where they were
  disk @2 :UInt64;
  peer @3 :UInt64;
  progress @4 :Progress;
}

struct OpenedExplained {
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
  opened @10 :OpenedReusing;
}

struct Load {
  model @0 :Bytes32;
  first @1 :UInt32; # layers [first, last)
  last @2 :UInt32;
}

struct LoadFailed {
  model @0 :Bytes32;
  reason @1 :Failed;
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

struct Progress {
  length @0 :UInt32;
  units @1 :UInt64;
  kvBytes @2 :UInt64;
  leaves @3 :List(Leaf);
  computeUs @4 :UInt32; # of a step that is traced, else 0; at most 2^32 - 1
}

struct Failed {
  code @0 :UInt8; # messages/error.hpp
  text @1 :Data;
}

struct RequestLog {
  # Of the request that the message is about.
  generation @0 :UInt32;
  maxTokens @1 :UInt32;
  temperature @2 :Float32;
  topK @3 :UInt32;
  topP @4 :Float64;
  minP @5 :Float64;
  repeatPenalty @6 :Float32;
  seed @7 :UInt64;
  model @8 :Bytes32;
  prompt @9 :List(UInt32);
  stop @10 :List(Data);
  drawn @11 :List(Drawn);
  constraint @12 :Data; # empty: none
  logprobs @13 :UInt8; # 0: not wanted, else one more than the likeliest tokens told with each
  embedding @14 :UInt8; # 0: none, 1: the mean of hidden states, 2: the last one
  receipt @15 :Bool; # its stages sign
}
