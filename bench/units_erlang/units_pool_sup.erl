%% The supervisor of the workers of units_pool.
-module(units_pool_sup).
-behaviour(supervisor).
-export([start_link/3, init/1]).

start_link(How, Workers, Config) -> supervisor:start_link(?MODULE, {How, Workers, Config}).

init({permanent, Workers, Config}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1},
          [worker({worker, I}, permanent, Config) || I <- lists:seq(1, Workers)]}};
init({temporary, _, Config}) ->
    {ok, {#{strategy => simple_one_for_one, intensity => 1000000, period => 1},
          [worker(worker, temporary, Config)]}}.

worker(Id, Restart, Config) ->
    #{id => Id, start => {units_worker, start_link, [Config]}, restart => Restart}.
