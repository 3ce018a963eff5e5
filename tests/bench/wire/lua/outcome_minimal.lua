-- The least that could be called the same: a prediction counts once, an EMA, and a posterior that forgets. No check of
-- contradictions, no calibration, no threshold, no P&L, no list of models. It takes the same arguments.
local call = redis.call
if call('HSETNX', KEYS[1], ARGV[1], '') == 0 then
  return 0
end
local x, at = ARGV[2] == ARGV[3] and 1 or 0, tonumber(ARGV[4])
local ema, successes, failures, evidence_at = 0.5, 0, 0, at
local state = call('GET', KEYS[2])
if state then
  ema, successes, failures, evidence_at = struct.unpack('<dddd', state)
end
if at >= evidence_at then
  local factor = 2 ^ ((evidence_at - at) / 604800e9)
  successes, failures, evidence_at = successes * factor + x, failures * factor + (1 - x), at
else
  local factor = 2 ^ ((at - evidence_at) / 604800e9)
  successes, failures = successes + x * factor, failures + (1 - x) * factor
end
call('SET', KEYS[2], struct.pack('<dddd', 0.1 * x + 0.9 * ema, successes, failures, evidence_at))
return 1
