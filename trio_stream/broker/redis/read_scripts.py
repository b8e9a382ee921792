"""What Redis finds in topics, each in one step; `scripts` says what the keys are."""

from __future__ import annotations

from .script import reading

__all__ = ["NEWER", "NEWEST", "READ"]

#: KEYS log heads cuts topic... holes...; ARGV after limit name... Of each topic: its newest id,
#: what is there, and, if something was deleted behind the cursor from among others, the newest such
#: id, how many that were, and the id before the first that is there, if any is.
READ = reading(
    """
local state = redis.call('HMGET', KEYS[1], 'last', 'base', 'lost', 'forgotten')
local found = {}
for i = 3, #ARGV do
  local head = redis.call('ZSCORE', KEYS[2], ARGV[i])
  local entries = redis.call('XRANGE', KEYS[i + 1], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
  local hole, count = string.match(redis.call('GET', KEYS[i - 1 + #ARGV]) or '0:0', '^(%d+):(%d+)')
  local holes = false
  if tonumber(hole) > tonumber(ARGV[1]) then
    local oldest = redis.call('XRANGE', KEYS[i + 1], '-', '+', 'COUNT', 1)[1]
    holes = {hole, count, oldest and string.match(oldest[2][6], '^%d+') or ''}
  end
  found[#found + 1] = {head and string.format('%.0f', tonumber(head)) or '', entries, holes}
end
local t = redis.call('TIME')
local now_ms = string.format('%.0f', tonumber(t[1]) * 1000 + tonumber(t[2]) / 1000)
return {state, redis.call('ZRANGE', KEYS[3], 0, -1), now_ms, found}
"""
)

#: KEYS topic...; ARGV count, then for each topic an age in ms, or 0. Of each topic the newest so
#: many that are not older, as ids; and the id of the newest one that is older, as far as was
#: looked, or 0.
NEWEST = reading(
    """
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local found, older = {}, '0'
for i, stream in ipairs(KEYS) do
  local upto, missing, age = '+', tonumber(ARGV[1]), tonumber(ARGV[1 + i])
  while missing > 0 do
    local look = math.min(missing, 100)
    local entries = redis.call('XREVRANGE', stream, upto, '-', 'COUNT', look)
    missing = #entries < look and 0 or missing - look
    for _, entry in ipairs(entries) do
      local id = string.match(entry[1], '%d+')
      if age > 0 and tonumber(string.match(entry[2][6], ':(%d+)$')) < now - age then
        if tonumber(id) > tonumber(older) then older = id end
        missing = 0
        break
      end
      found[#found + 1], upto = id, '(' .. entry[1]
    end
  end
end
return {older, found}
"""
)

#: KEYS log heads; ARGV after. The names of all topics that have something newer.
NEWER = reading(
    """
return {redis.call('HGET', KEYS[1], 'last'),
        redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf')}
"""
)
