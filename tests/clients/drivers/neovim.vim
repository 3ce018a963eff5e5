" Calls handicapper from Neovim itself. Usage: nvim --headless -u NONE -i NONE -n -S neovim.vim
"
" $CALLS names a file of JSON (msgpackparse makes texts into dictionaries), $ANSWERS one of MessagePack, as in
" ../driving.py. $ADDRESS is a path or HOST:PORT.
" Notifications of the server cannot be seen here: Neovim takes them for calls of its own API, and answers one it
" does not know with the notification nvim_error_event. So "await" waits until the server has refused that.

func s:Await(channel) abort
  let l:Refused = {-> rpcrequest(a:channel, 'statistics')['server']['notifications_refused']}
  if wait(60000, {-> l:Refused() > 0}, 20) != 0
    throw 'no notification came'
  endif
endfunc

func s:Main() abort
  let l:mode = $ADDRESS =~# ':\d\+$' ? 'tcp' : 'pipe'
  let l:channel = sockconnect(l:mode, $ADDRESS, {'rpc': v:true})
  let l:answers = []
  for [l:kind, l:method, l:args] in json_decode(join(readfile($CALLS), ''))
    if l:kind ==# 'await'
      call s:Await(l:channel)
    elseif l:kind ==# 'notify'
      call call('rpcnotify', [l:channel, l:method] + l:args)
    else
      try
        call add(l:answers, [v:null, call('rpcrequest', [l:channel, l:method] + l:args)])
      catch
        call add(l:answers, [v:exception, v:null])
      endtry
    endif
  endfor
  call writefile(msgpackdump([{'answers': l:answers, 'notifications': []}]), $ANSWERS, 'b')
  call chanclose(l:channel)
endfunc

try
  call s:Main()
  qall!
catch
  call writefile([v:exception . ' at ' . v:throwpoint], '/dev/stderr', 'a')
  cquit
endtry
