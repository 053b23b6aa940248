@0xb7d1f6a4c90e3852;
# Header of a message about weights (docs/formats/fetch.md). What the message carries follows the
# header and is no part of it.

struct FetchHeader {
  version @0 :UInt16;   # 1
  kind @1 :UInt16;      # 1 wantManifest, 2 manifest, 3 holdings, 4 wantPieces, 5 piece, 6 refusal,
                        # 7 wantHoldings
  piece @2 :UInt32;     # of piece and refusal; 0xffffffff: a refusal of the whole model
  received @3 :UInt64;  # of wantPieces: bytes of pieces that came from this source
  model0 @4 :UInt64;    # digest of the manifest, as four little-endian words
  model1 @5 :UInt64;
  model2 @6 :UInt64;
  model3 @7 :UInt64;
}
