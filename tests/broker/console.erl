%% Evaluates Erlang for the tests, inside of the node: what takes rabbitmqctl a second takes a millisecond here.
%% A request is the text of some expressions, the answer is JSON. The first connection is the lifeline: when
%% it ends, so does the node, and its folder goes; also if it never comes. So a test session that was killed
%% leaves nothing behind.
Folder = os:getenv("ROLEML_CONSOLE_FOLDER"),
LastWill = os:getenv("ROLEML_CONSOLE_LAST_WILL"),
Patience = list_to_integer(os:getenv("ROLEML_CONSOLE_PATIENCE_MS")),
Text = fun(Term) -> unicode:characters_to_binary(io_lib:format("~0tp", [Term])) end,
Evaluate = fun(Request) ->
    try
        {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Request)),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Expressions, []),
        try rabbit_json:encode(#{value => Value})
        catch _:_ -> rabbit_json:encode(#{value => Text(Value)})
        end
    catch Class:Reason -> rabbit_json:encode(#{error => Text({Class, Reason})})
    end
end,
Serve = fun Serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Request} ->
            ok = gen_tcp:send(Socket, Evaluate(Request)),
            Serve(Socket);
        {error, _} ->
            ok
    end
end,
Farewell = fun() ->
    os:cmd(LastWill),
    file:del_dir_r(Folder),
    erlang:halt(1)
end,
spawn(fun() ->
    {ok, Listener} = gen_tcp:listen(0, [
        {ifaddr, {local, filename:join(Folder, "console")}}, binary, {packet, 4}, {active, false}
    ]),
    Start = fun(Socket, Handle) ->
        Handler = spawn(fun() -> receive go -> Handle(Socket) end end),
        ok = gen_tcp:controlling_process(Socket, Handler),
        Handler ! go
    end,
    Accept = fun Accept() ->
        {ok, Socket} = gen_tcp:accept(Listener),
        Start(Socket, Serve),
        Accept()
    end,
    case gen_tcp:accept(Listener, Patience) of
        {ok, Lifeline} ->
            Start(Lifeline, fun(Socket) -> Serve(Socket), Farewell() end),
            Accept();
        {error, _} ->
            Farewell()
    end
end).
