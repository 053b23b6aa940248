%% What the Erlang programs of bench/compare_erlang share: the units, the hash, the crashes, and the
%% client that keeps a window of batches in the pool. The C++ side is bench/units/units_bench.cpp.
-module(units_common).
-export([prepare/1, options/1, batch/2, execute/4, drive/3, report/4, crash_count/2]).

-define(PAYLOAD_BYTES, 256).
-define(PAYLOADS, 1024).

%% Options come as words: hash, units, warm-up, batch, workers, window, crash percent.
options([Hash, Units, WarmUp, Batch, Workers, Window, Percent]) ->
    #{hash => list_to_atom(Hash),
      units => list_to_integer(Units),
      warm_up => list_to_integer(WarmUp),
      batch => list_to_integer(Batch),
      workers => list_to_integer(Workers),
      window => list_to_integer(Window),
      percent => list_to_integer(Percent)}.

%% The inputs and their hashes go into a persistent term: every process reads them without a copy,
%% and a message with one of them carries a reference.
prepare(#{hash := Hash}) ->
    Payloads = [payload(I) || I <- lists:seq(0, ?PAYLOADS - 1)],
    persistent_term:put(units_table, list_to_tuple([{P, hash(Hash, P)} || P <- Payloads])),
    erlang:crc32(Payloads).

payload(I) ->
    << <<((I * 31 + J * 7 + ((I * J) bsr 3)) band 255)>>
       || J <- lists:seq(0, ?PAYLOAD_BYTES - 1) >>.

hash(crc32, Bytes) -> erlang:crc32(Bytes);
hash(adler32, Bytes) -> erlang:adler32(Bytes);
hash(md5, Bytes) -> erlang:md5(Bytes).

%% The same formula as the C++ side's, so the same units crash.
crashes(Id, Percent) ->
    (((Id * 2654435761) band 16#FFFFFFFF) bsr 7) rem 100 < Percent.

crash_count(Units, Percent) -> crash_count(0, Units, Percent, 0).

crash_count(Units, Units, _, N) -> N;
crash_count(Id, Units, Percent, N) ->
    case crashes(Id, Percent) of
        true -> crash_count(Id + 1, Units, Percent, N + 1);
        false -> crash_count(Id + 1, Units, Percent, N)
    end.

%% Units [First, End) as values: {Id, Input, Expected}.
batch(First, End) -> batch(First, End, persistent_term:get(units_table)).

batch(End, End, _) -> [];
batch(Id, End, Table) ->
    {Input, Expected} = element(Id rem ?PAYLOADS + 1, Table),
    [{Id, Input, Expected} | batch(Id + 1, End, Table)].

%% Hashes one unit and checks the result: true when it is right. At its first attempt the unit may
%% end the process; the reason tells which one it was, and what the caller passed in Word.
execute({Id, Input, Expected}, Attempt, {Hash, Percent}, Word) ->
    case Attempt =:= 1 andalso crashes(Id, Percent) of
        true -> exit({unit_crashed, Id, Word});
        false -> hash(Hash, Input) =:= Expected
    end.

%% Keeps `window` batches in the pool; Submit(BatchNumber, Units) hands one over, and
%% {batch_done, BatchNumber, Failures} comes back. Returns seconds and failures.
drive(#{batch := Size, window := Window}, Units, Submit) ->
    Begin = erlang:monotonic_time(nanosecond),
    {Next, Open} = fill(0, Units, Size, Window, Submit),
    Failures = loop(Next, Units, Size, Open, Submit, 0),
    {(erlang:monotonic_time(nanosecond) - Begin) / 1.0e9, Failures}.

fill(Next, Units, Size, Window, Submit) -> fill(Next, Units, Size, Window, Submit, 0).

fill(Next, Units, Size, Window, Submit, Open) when Next < Units, Open < Window ->
    fill(submit(Next, Units, Size, Submit), Units, Size, Window, Submit, Open + 1);
fill(Next, _, _, _, _, Open) -> {Next, Open}.

submit(Next, Units, Size, Submit) ->
    End = min(Next + Size, Units),
    Submit(Next, batch(Next, End)),
    End.

loop(_, _, _, 0, _, Failures) -> Failures;
loop(Next, Units, Size, Open, Submit, Failures) ->
    receive
        {batch_done, _, N} when Next < Units ->
            loop(submit(Next, Units, Size, Submit), Units, Size, Open, Submit, Failures + N);
        {batch_done, _, N} ->
            loop(Next, Units, Size, Open - 1, Submit, Failures + N)
    end.

%% One JSON document, and the end of the program.
report(Side, #{hash := Hash, units := Units, batch := Batch, workers := Workers,
               percent := Percent}, InputsCrc, {Seconds, Failures, Restarts}) ->
    Crashes = crash_count(Units, Percent),
    Ok = Failures =:= 0 andalso Restarts =:= Crashes,
    io:format("{\"side\":\"~s\",\"hash\":\"~s\",\"units\":~b,\"batch\":~b,\"workers\":~b,"
              "\"seconds\":~.6f,\"units_per_second\":~.1f,\"crashes\":~b,\"restarts\":~b,"
              "\"failures\":~b,\"inputs_crc32\":~b,\"ok\":~s}~n",
              [Side, Hash, Units, Batch, Workers, Seconds, Units / Seconds, Crashes, Restarts,
               Failures, InputsCrc, Ok]),
    halt(case Ok of true -> 0; false -> 1 end).
