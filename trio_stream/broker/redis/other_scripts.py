"""What Redis does with events that are passed on, or deleted; `scripts` says what the keys are."""

from __future__ import annotations

from .lua import COMMON, CUT_LIVE
from .script import writing

__all__ = ["FORGET", "PASS"]

#: KEYS log live; ARGV run live-events live-bytes, then for each event that is only passed on: its
#: topic, key, body, and the stream that it is not for. It goes where everybody reads what is new,
#: under an id that nobody is told.
PASS = writing(
    COMMON
    + CUT_LIVE
    + """
local log, live, live_bytes = KEYS[1], KEYS[2], tonumber(ARGV[3])
local state = redis.call('HMGET', log, 'last', 'live', 'run', 'bytes')
if not state[1] then return 0 end
if state[3] ~= ARGV[1] then return redis.error_reply('NOTENTERED it has restarted') end
local last, newest, unmarked, marks = tonumber(state[1]), state[2], tonumber(state[4]) or 0, {}
for p = 4, #ARGV, 4 do
  last = last + 1
  local id = text(last)
  redis.call('XADD', live, 'MAXLEN', '~', ARGV[2], id .. '-0', 'p', newest, 'x', ARGV[p],
             'k', ARGV[p + 1], 'e', ARGV[p + 2], 'b', ARGV[p + 3])
  newest = id
  unmarked = unmarked + #ARGV[p] + #ARGV[p + 2] + 50
  if unmarked * 8 >= live_bytes then
    marks[#marks + 1] = id .. ':' .. text(unmarked)
    unmarked = 0
  end
end
cut_live(log, live, marks, unmarked, live_bytes)
redis.call('HSET', log, 'last', text(last), 'live', newest, 'bytes', text(unmarked))
return 1
"""
)

#: KEYS log live topic holes; ARGV run, topic, and an id, or '' for all. Whether there was any. They
#: who read what is new are told.
FORGET = writing(
    COMMON
    + """
local log, live, stream, holes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local topic, id = ARGV[2], ARGV[3]
local state = redis.call('HMGET', log, 'last', 'live', 'run')
if not state[1] then return 0 end
if state[3] ~= ARGV[1] then return redis.error_reply('NOTENTERED it has restarted') end
local hole, count, upto =
  string.match(redis.call('GET', holes) or '0:0:0', '(%d+):(%d+):(%d+)')
local found
if id ~= '' then
  found = redis.call('XDEL', stream, id .. '-0')
  redis.call('XDEL', live, id .. '-0')
  if found == 1 then
    if tonumber(id) > tonumber(hole) then hole = id end
    redis.call('SET', holes, table.concat({hole, text(tonumber(count) + 1), upto}, ':'))
  end
else
  found = redis.call('DEL', stream)
  if found == 1 then redis.call('SET', holes, table.concat({hole, count, state[1]}, ':')) end
  local from = '-'
  while from do
    local entries = redis.call('XRANGE', live, from, '+', 'COUNT', 1000)
    from = #entries == 1000 and '(' .. entries[1000][1]
    for _, entry in ipairs(entries) do
      if entry[2][3] == 't' and entry[2][4] == topic then redis.call('XDEL', live, entry[1]) end
    end
  end
end
if found == 1 then
  local last = text(tonumber(state[1]) + 1)
  redis.call('XADD', live, last .. '-0', 'p', state[2], 'f', topic, 'i', id)
  redis.call('HSET', log, 'last', last, 'live', last)
end
return found
"""
)
