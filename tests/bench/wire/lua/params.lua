-- What is read of a model as of an event time, from what outcome.lua keeps; changes nothing.
-- KEYS: the model's key. ARGV: as of (ns).
-- Answers five doubles, packed: threshold, weight, EMA accuracy, alpha, beta.
local as_of = tonumber(ARGV[1])
local n, _, ema, successes, failures, evidence_at, threshold, threshold_at =
  struct.unpack('<dddddddd', redis.call('HGET', KEYS[1], 's'))
if as_of > evidence_at then
  local factor = 2 ^ ((evidence_at - as_of) / 604800e9)
  successes, failures = successes * factor, failures * factor
end
local weight = 1
if n < 10 then
  threshold = 0.6
else
  if as_of > threshold_at then
    threshold = 0.6 + (threshold - 0.6) * 2 ^ ((threshold_at - as_of) / 604800e9)
  end
  weight = math.min(math.max(1 + 2 * (ema - 0.5), 0.25), 2)
end
return struct.pack('<ddddd', threshold, weight, ema, 1 + successes, 1 + failures)
