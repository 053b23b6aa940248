%% A worker of units_pool: executes a batch at a time. A unit that crashes ends it.
-module(units_worker).
-behaviour(gen_server).
-export([start_link/1]).
-export([init/1, handle_call/3, handle_cast/2]).

start_link(Config) -> gen_server:start_link(?MODULE, Config, []).

init(Config) ->
    gen_server:cast(dispatcher, {ready, self()}),
    {ok, Config}.

handle_call(_, _, Config) -> {reply, ok, Config}.

handle_cast({execute, Units, Attempt}, Config) ->
    Wrong = execute(Units, Attempt, Config, 0),
    gen_server:cast(dispatcher, {done, self(), Wrong}),
    {noreply, Config}.

%% Only the first unit of a batch can have been tried before.
execute([], _, _, Wrong) -> Wrong;
execute([Unit | Rest], Attempt, Config, Wrong) ->
    case units_common:execute(Unit, Attempt, Config, Wrong) of
        true -> execute(Rest, 1, Config, Wrong);
        false -> execute(Rest, 1, Config, Wrong + 1)
    end.
