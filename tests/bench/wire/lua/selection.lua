-- A selection over all models, from what outcome.lua keeps.
-- ARGV: as of (ns), seed, and what is wanted:
--   gather  every model's posterior, decayed: name and packed (alpha, beta) by turns; whoever asked draws
--   best    a draw from each posterior: name and packed (draw, alpha, beta) of the highest
--   ranked  the same of all models, highest draw first: what thompson_sample answers
local as_of, wanted = tonumber(ARGV[1]), ARGV[3]
local call, unpack_doubles, pack = redis.call, struct.unpack, struct.pack
local random, sqrt, log = math.random, math.sqrt, math.log
math.randomseed(tonumber(ARGV[2]))

-- Marsaglia's polar method: a normal deviate.
local function normal()
  while true do
    local u, v = 2 * random() - 1, 2 * random() - 1
    local s = u * u + v * v
    if s > 0 and s < 1 then
      return u * sqrt(-2 * log(s) / s)
    end
  end
end

-- Marsaglia & Tsang (2000), A simple method for generating gamma variables; for shapes of 1 and more, as here.
local function gamma(shape)
  local d = shape - 1 / 3
  local c = 1 / sqrt(9 * d)
  while true do
    local z = normal()
    local v = 1 + c * z
    if v > 0 then
      v = v * v * v
      local u, zz = 1 - random(), z * z
      if u < 1 - 0.0331 * zz * zz or log(u) < 0.5 * zz + d * (1 - v + log(v)) then
        return d * v
      end
    end
  end
end

local models = call('SMEMBERS', 'models')
local answer, drawn, best, best_draw = {}, {}, nil, -1
for index = 1, #models do
  local model = models[index]
  local _, _, _, successes, failures, evidence_at = unpack_doubles('<dddddd', call('HGET', model, 's'))
  if as_of > evidence_at then
    local factor = 2 ^ ((evidence_at - as_of) / 604800e9)
    successes, failures = successes * factor, failures * factor
  end
  local alpha, beta = 1 + successes, 1 + failures
  if wanted == 'gather' then
    answer[2 * index - 1], answer[2 * index] = model, pack('<dd', alpha, beta)
  else
    local g = gamma(alpha)
    local draw = g / (g + gamma(beta))
    if wanted == 'ranked' then
      drawn[index] = { draw, model, alpha, beta }
    elseif draw > best_draw then
      best_draw, best = draw, { model, pack('<ddd', draw, alpha, beta) }
    end
  end
end
if wanted == 'best' then
  return best
end
if wanted == 'ranked' then
  table.sort(drawn, function(a, b)
    return a[1] > b[1]
  end)
  for index = 1, #drawn do
    local one = drawn[index]
    answer[2 * index - 1], answer[2 * index] = one[2], pack('<ddd', one[1], one[3], one[4])
  end
end
return answer
