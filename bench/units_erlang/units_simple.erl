%% A process per unit below a simple_one_for_one supervisor: supervisor:start_child for each unit,
%% transient, so that the supervisor starts one that crashed again and forgets one that is done.
%%
%% The units come in the same batches, one process each, and as many batches are open; but one
%% supervisor can be asked for one child at a time, so `workers` processes take turns in asking it.
-module(units_simple).
-behaviour(supervisor).
-export([main/1, start_child/4, run/4, init/1]).

main(Words) ->
    Options = #{percent := Percent, hash := Hash, workers := Workers} = units_common:options(Words),
    Crc = units_common:prepare(Options),
    %% A restarted child looks up here how often it has been started.
    Attempts = counters:new(max(maps:get(units, Options), maps:get(warm_up, Options)), []),
    {ok, Supervisor} = supervisor:start_link(?MODULE, {Hash, Percent}),
    Self = self(),
    Starters = list_to_tuple([spawn_link(fun() -> start_all(Supervisor, Attempts, Self) end)
                              || _ <- lists:seq(1, Workers)]),
    Submit = fun(Number, Units) ->
        element(Number div maps:get(batch, Options) rem Workers + 1, Starters)
            ! {batch, Number, Units}
    end,
    _ = units_common:drive(Options, maps:get(warm_up, Options), Submit),
    reset(Attempts, maps:get(warm_up, Options)),
    {Seconds, Failures} = units_common:drive(Options, maps:get(units, Options), Submit),
    Restarts = restarts(Attempts, maps:get(units, Options), 0),
    units_common:report("erlang simple_one_for_one", Options, Crc, {Seconds, Failures, Restarts}).

%% Starts the units of a batch and waits until all of them have reported.
start_all(Supervisor, Attempts, Client) ->
    receive
        {batch, Number, Units} ->
            [{ok, _} = supervisor:start_child(Supervisor, [Unit, Attempts, self()])
             || Unit <- Units],
            Client ! {batch_done, Number, collect(length(Units), 0)},
            start_all(Supervisor, Attempts, Client)
    end.

collect(0, Wrong) -> Wrong;
collect(N, Wrong) ->
    receive
        {unit_done, true} -> collect(N - 1, Wrong);
        {unit_done, false} -> collect(N - 1, Wrong + 1)
    end.

init(Config) ->
    {ok, {#{strategy => simple_one_for_one, intensity => 1000000, period => 1},
          [#{id => unit, start => {?MODULE, start_child, [Config]}, restart => transient}]}}.

start_child(Config, Unit, Attempts, Client) ->
    {ok, spawn_link(?MODULE, run, [Config, Unit, Attempts, Client])}.

run(Config, Unit = {Id, _, _}, Attempts, Client) ->
    counters:add(Attempts, Id + 1, 1),
    Right = units_common:execute(Unit, counters:get(Attempts, Id + 1), Config, 0),
    Client ! {unit_done, Right}.

reset(_, 0) -> ok;
reset(Attempts, I) ->
    counters:put(Attempts, I, 0),
    reset(Attempts, I - 1).

restarts(_, 0, N) -> N;
restarts(Attempts, I, N) -> restarts(Attempts, I - 1, N + counters:get(Attempts, I) - 1).
