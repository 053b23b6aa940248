%% A pool of supervised workers in Erlang/OTP, built like OVIR's: a dispatcher (gen_server) gives
%% each worker two batches, a unit that crashes ends its worker (gen_server), the worker is started
%% again by a supervisor, and the unit and the rest of its batch are run again.
%%
%% Two ways to restart, because OTP's own is slow where crashes are ordinary: a supervisor keeps the
%% times of all restarts within its period in a list and walks through it at each crash.
%%   permanent  one_for_one supervisor, permanent workers: OTP restarts them
%%   temporary  simple_one_for_one supervisor, temporary workers: the dispatcher, which monitors
%%              them anyway, has the supervisor start another one, as worker pools for Erlang do
-module(units_pool).
-behaviour(gen_server).
-export([main/1, start_supervisor/1, start_dispatcher/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-record(state, {
    how,                 % permanent or temporary
    supervisor,          % of temporary workers
    config,
    waiting = queue:new(),
    workers = #{},       % pid => {Credit, oldest first [{Number, Client, Units, Attempt, Failed}]}
    idle = [],           % pids, as often as they have credit
    joined = 0
}).

-define(CREDIT, 2).

main([How | Words]) ->
    Options = #{percent := Percent, hash := Hash, workers := Workers} = units_common:options(Words),
    Crc = units_common:prepare(Options),
    Kind = list_to_atom(How),
    process_flag(trap_exit, true),
    {ok, _} = start_dispatcher(Kind, {Hash, Percent}),
    {ok, Supervisor} = start_supervisor({Kind, Workers, {Hash, Percent}}),
    ok = gen_server:call(dispatcher, {use, Supervisor, Workers}),
    Self = self(),
    Submit = fun(Number, Units) -> gen_server:cast(dispatcher, {submit, Self, Number, Units}) end,
    _ = units_common:drive(Options, maps:get(warm_up, Options), Submit),
    Before = settled(),
    {Seconds, Failures} = units_common:drive(Options, maps:get(units, Options), Submit),
    Restarts = settled() - Before,
    units_common:report("erlang pool, " ++ How, Options, Crc, {Seconds, Failures, Restarts}).

%% Workers that joined, once the last crash is over.
settled() ->
    N = gen_server:call(dispatcher, joined),
    timer:sleep(50),
    case gen_server:call(dispatcher, joined) of
        N -> N;
        _ -> settled()
    end.

start_dispatcher(How, Config) ->
    gen_server:start_link({local, dispatcher}, ?MODULE, {How, Config}, []).

%% The intensity is one that no crash rate reaches; the period is the shortest there is, because
%% the list of restarts is as long as the crashes of a period.
start_supervisor({How, Workers, Config}) -> units_pool_sup:start_link(How, Workers, Config).

init({How, Config}) -> {ok, #state{how = How, config = Config}}.

handle_call({use, Supervisor, Workers}, _, State = #state{how = temporary}) ->
    [{ok, _} = supervisor:start_child(Supervisor, []) || _ <- lists:seq(1, Workers)],
    {reply, ok, State#state{supervisor = Supervisor}};
handle_call({use, Supervisor, _}, _, State) ->
    {reply, ok, State#state{supervisor = Supervisor}};
handle_call(joined, _, State) -> {reply, State#state.joined, State}.

handle_cast({submit, Client, Number, Units}, State) ->
    Waiting = queue:in({Number, Client, Units, 1, 0}, State#state.waiting),
    {noreply, assign(State#state{waiting = Waiting})};
handle_cast({done, Pid, Wrong}, State = #state{workers = Workers, idle = Idle}) ->
    #{Pid := [{Number, Client, _, _, Failed} | Rest]} = Workers,
    Client ! {batch_done, Number, Failed + Wrong},
    {noreply, assign(State#state{workers = Workers#{Pid := Rest}, idle = [Pid | Idle]})};
handle_cast({ready, Pid}, State = #state{workers = Workers, idle = Idle, joined = Joined}) ->
    erlang:monitor(process, Pid),
    {noreply, assign(State#state{workers = Workers#{Pid => []}, joined = Joined + 1,
                                 idle = lists:duplicate(?CREDIT, Pid) ++ Idle})}.

%% A worker crashed at the unit Id, whose batch goes on from there. The units before it were right,
%% as the reason would say otherwise.
handle_info({'DOWN', _, process, Pid, {unit_crashed, Id, Wrong}}, State) ->
    #state{workers = Workers, waiting = Waiting, idle = Idle} = State,
    {[{Number, Client, Units, Attempt, Failed} | Others], Left} = maps:take(Pid, Workers),
    [{First, _, _} | _] = Units,
    {Rest, Again} =
        case First of
            Id -> {Units, Attempt + 1};
            _ -> {from(Id, Units), 2}
        end,
    Back = lists:foldr(fun queue:in_r/2, Waiting,
                       [{Number, Client, Rest, Again, Failed + Wrong} | Others]),
    Next = State#state{workers = Left, waiting = Back, idle = [P || P <- Idle, P =/= Pid]},
    {noreply, assign(replace(Next))};
handle_info({'DOWN', _, process, _, _}, State) -> {noreply, State}.

replace(State = #state{how = temporary, supervisor = Supervisor}) ->
    {ok, _} = supervisor:start_child(Supervisor, []),
    State;
replace(State) -> State.

from(Id, Units = [{Id, _, _} | _]) -> Units;
from(Id, [_ | Rest]) -> from(Id, Rest).

assign(State = #state{idle = []}) -> State;
assign(State = #state{idle = [Pid | Idle], waiting = Waiting, workers = Workers}) ->
    case queue:out(Waiting) of
        {empty, _} -> State;
        {{value, Work = {_, _, Units, Attempt, _}}, Rest} ->
            gen_server:cast(Pid, {execute, Units, Attempt}),
            #{Pid := Has} = Workers,
            assign(State#state{idle = Idle, waiting = Rest,
                               workers = Workers#{Pid := Has ++ [Work]}})
    end.
