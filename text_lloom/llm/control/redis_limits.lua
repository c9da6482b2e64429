-- Enforces rate limits on a Redis server; see redis_script.py for the request and the reply.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local ask = cjson.decode(ARGV[1])

-- Lua writes large numbers as 1.7e+15
local function text(number) return string.format('%.0f', number) end

local windows = {}
for i, given in ipairs(ask.windows) do
  windows[i] = {amount = given[1], length = given[2], weighed = given[3],
                starts = KEYS[2 * i], weights = KEYS[2 * i + 1]}
end

local function add_to_total(w, tokens)
  if tokens ~= 0 then redis.call('HINCRBY', w.weights, 'total', text(tokens)) end
end

local function weights_of(w, names)
  local weights = redis.call('HMGET', w.weights, unpack(names))
  for i, weight in ipairs(weights) do weights[i] = tonumber(weight or 0) or 0 end
  return weights
end

local function expire(w)
  if not w.weighed then
    redis.call('ZREMRANGEBYSCORE', w.starts, '-inf', text(now))
    return
  end
  repeat
    local names = redis.call('ZRANGEBYSCORE', w.starts, '-inf', text(now), 'LIMIT', 0, 500)
    if #names > 0 then
      local freed = 0
      for _, weight in ipairs(weights_of(w, names)) do freed = freed + weight end
      redis.call('HDEL', w.weights, unpack(names))
      redis.call('ZREM', w.starts, unpack(names))
      add_to_total(w, -freed)
    end
  until #names < 500
end

local function drop(w, name)
  if redis.call('ZREM', w.starts, name) == 1 and w.weighed then
    add_to_total(w, -weights_of(w, {name})[1])
    redis.call('HDEL', w.weights, name)
  end
end

local function put(w, name, expiry, weight)
  local known = redis.call('ZSCORE', w.starts, name)
  redis.call('ZADD', w.starts, text(math.max(expiry, tonumber(known or 0))), name)
  if w.weighed then
    local before = known and weights_of(w, {name})[1] or 0
    redis.call('HSET', w.weights, name, text(weight))
    add_to_total(w, weight - before)
  end
  w.touched = true
end

-- How long until so much is free; walks 64 entries at most, then the client asks again.
local function until_free(w, excess)
  if not w.weighed then
    local entry = redis.call('ZRANGE', w.starts, excess - 1, excess - 1, 'WITHSCORES')
    return (tonumber(entry[2]) or now + w.length) - now
  end
  local entries = redis.call('ZRANGE', w.starts, 0, 63, 'WITHSCORES')
  local names = {}
  for i = 1, #entries, 2 do names[#names + 1] = entries[i] end
  if #names == 0 then return w.length end
  local last
  for i, weight in ipairs(weights_of(w, names)) do
    last = tonumber(entries[2 * i]) - now
    excess = excess - weight
    if excess <= 0 then break end
  end
  return last
end

for _, w in ipairs(windows) do
  expire(w)
  for _, name in ipairs(ask.dropped) do drop(w, name) end
  for _, start in ipairs(ask.starts) do
    local expiry = now - start[2] + w.length
    if expiry > now then put(w, start[1], expiry, start[3]) end
  end
  if w.weighed then
    w.used = tonumber(redis.call('HGET', w.weights, 'total') or 0)
  else
    w.used = redis.call('ZCARD', w.starts)
  end
end

local paused = tonumber(redis.call('GET', KEYS[1]) or 0)
if now + ask.pause > paused and ask.pause > 0 then
  paused = now + ask.pause
  redis.call('SET', KEYS[1], text(paused), 'PX', text(math.ceil(ask.pause / 1000)))
end
paused = math.max(paused - now, 0)

local granted, wait = 0, paused
for _, asked in ipairs(ask.asked) do
  for _, w in ipairs(windows) do
    local excess = w.used + (w.weighed and asked[2] or 1) - w.amount
    if excess > 0 then wait = math.max(wait, until_free(w, excess)) end
  end
  if wait > 0 then break end
  for _, w in ipairs(windows) do
    put(w, asked[1], now + w.length, asked[2])
    w.used = w.used + (w.weighed and asked[2] or 1)
  end
  granted = granted + 1
end

local reply = {granted, math.ceil(wait), now, paused}
for _, w in ipairs(windows) do
  if w.touched then
    local milliseconds = text(math.ceil(w.length / 1000) + 1000)
    redis.call('PEXPIRE', w.starts, milliseconds)
    if w.weighed then redis.call('PEXPIRE', w.weights, milliseconds) end
  end
  local first = redis.call('ZRANGE', w.starts, 0, 0, 'WITHSCORES')
  reply[#reply + 1] = w.used
  reply[#reply + 1] = (tonumber(first[2]) or now) - now
end
return reply
