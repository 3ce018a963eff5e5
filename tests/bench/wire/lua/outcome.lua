-- The learner's bookkeeping for one trade outcome, whole and atomic. The numbers are those of
-- handicapper.actors.state.model_state with the shipped settings; a test compares them to 1e-9.
--
-- KEYS: the hash of all predictions (one hash is faster than a key each), the model's key
-- ARGV: prediction id, predicted outcome, actual outcome, event time (ns), P&L or '', confidence or ''
-- Answers 1 (counted), 0 (a duplicate) or an error (it contradicts what was recorded).
--
-- A model is a hash: 's' its scalars, 'b0'..'b9' its calibration bins, 'w0'..'w99' its calibration window, each
-- packed as doubles. Packed, because formatting and parsing decimals would cost more than all the rest.
local call, pack, unpack_doubles = redis.call, struct.pack, struct.unpack
local id, predicted, actual, at, pnl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local confidence = tonumber(ARGV[6])

local EMA_ALPHA, ADAPT_FROM, WINDOW = 0.1, 10, 100
local DECAY_HALF_LIFE_NS, RELAX_HALF_LIFE_NS = 604800e9, 604800e9
local THRESHOLD, THRESHOLD_MIN, THRESHOLD_MAX, ADJUST = 0.6, 0.4, 0.9, 0.01
local CLIP = 1e-6
local SCALARS = '<ddddddddddddddd'

-- A prediction counts once. What was said of it is kept, so that a repeat and a contradiction can be told apart.
local said = KEYS[2] .. '\0' .. predicted .. '\0' .. actual .. '\0'
if call('HSETNX', KEYS[1], id, said .. pnl) == 0 then
  local known = call('HGET', KEYS[1], id)
  if known == said .. pnl or (pnl == '' and known:sub(1, #said) == said) then
    return 0
  end
  if known ~= said then
    return redis.error_reply('CONFLICT the outcome was recorded otherwise')
  end
  -- The same outcome again, now with its P&L.
  call('HSET', KEYS[1], id, said .. pnl)
  local state = { unpack_doubles(SCALARS, call('HGET', KEYS[2], 's')) }
  state[16] = nil
  state[15] = state[15] + tonumber(pnl)
  call('HSET', KEYS[2], 's', pack(SCALARS, unpack(state)))
  return 1
end

local bin
if confidence then
  bin = math.floor(confidence * 10)
  bin = 'b' .. (bin < 10 and bin or 9)
end
local found = call('HMGET', KEYS[2], 's', bin or 's')
local n, x_sum, ema, successes, failures, evidence_at = 0, 0, 0.5, 0, 0, at
local threshold, threshold_at, last_at = THRESHOLD, at, at
local x_squared_sum, log_loss_sum, window_rows, window_count, window_error, pnl_sum = 0, 0, 0, 0, 0, 0
if found[1] then
  n, x_sum, ema, successes, failures, evidence_at, threshold, threshold_at, last_at, x_squared_sum, log_loss_sum,
    window_rows, window_count, window_error, pnl_sum = unpack_doubles(SCALARS, found[1])
else
  call('SADD', 'models', KEYS[2])
end
local x = predicted == actual and 1 or 0
n = n + 1
x_sum = x_sum + x

-- Posterior: evidence that halves with event time, in whatever order it comes.
if at > evidence_at then
  local factor = 2 ^ ((evidence_at - at) / DECAY_HALF_LIFE_NS)
  successes, failures, evidence_at = successes * factor + x, failures * factor + (1 - x), at
elseif at < evidence_at then
  local factor = 2 ^ ((at - evidence_at) / DECAY_HALF_LIFE_NS)
  successes, failures = successes + x * factor, failures + (1 - x) * factor
else
  successes, failures = successes + x, failures + (1 - x)
end
if at > last_at then
  last_at = at
end
ema = EMA_ALPHA * x + (1 - EMA_ALPHA) * ema

-- Calibration: a bin of the reliability diagram, the scores, and the window that moves the threshold.
local slot, bin_packed
if confidence then
  local count, sum_c, sum_x, sum_cc, sum_cx = 0, 0, 0, 0, 0
  if found[2] then
    count, sum_c, sum_x, sum_cc, sum_cx = unpack_doubles('<ddddd', found[2])
  end
  bin_packed = pack('<ddddd', count + 1, sum_c + confidence, sum_x + x, sum_cc + confidence * confidence,
    sum_cx + confidence * x)
  x_squared_sum = x_squared_sum + x * x
  local clipped = confidence < CLIP and CLIP or (confidence > 1 - CLIP and 1 - CLIP or confidence)
  log_loss_sum = log_loss_sum - math.log(x == 1 and clipped or 1 - clipped)
  slot = 'w' .. (window_rows % WINDOW)
  window_rows = window_rows + 1
  window_error = window_error + (confidence - x)
  if window_count == WINDOW then
    local old_confidence, old_x = unpack_doubles('<dd', call('HGET', KEYS[2], slot))
    window_error = window_error - (old_confidence - old_x)
  else
    window_count = window_count + 1
  end
end

-- Threshold: relaxed to the event's time, then moved by the window's error.
if at > threshold_at then
  threshold = THRESHOLD + (threshold - THRESHOLD) * 2 ^ ((threshold_at - at) / RELAX_HALF_LIFE_NS)
  threshold_at = at
end
if n >= ADAPT_FROM and window_count > 0 then
  threshold = threshold + ADJUST * (window_error / window_count)
  threshold = threshold < THRESHOLD_MIN and THRESHOLD_MIN or (threshold > THRESHOLD_MAX and THRESHOLD_MAX or threshold)
end
if pnl ~= '' then
  pnl_sum = pnl_sum + tonumber(pnl)
end

local state = pack(SCALARS, n, x_sum, ema, successes, failures, evidence_at, threshold, threshold_at, last_at,
  x_squared_sum, log_loss_sum, window_rows, window_count, window_error, pnl_sum)
if slot then
  call('HSET', KEYS[2], 's', state, bin, bin_packed, slot, pack('<dd', confidence, x))
else
  call('HSET', KEYS[2], 's', state)
end
return 1
