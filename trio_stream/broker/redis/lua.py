"""What several of the scripts have in common."""

from __future__ import annotations

__all__ = ["COMMON", "CUT_LIVE"]

COMMON = """
local function text(n) return string.format('%.0f', n) end
local function now_us()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end
"""

#: Of the live stream it is only known how many bytes lie up to some ids, the ``marks``, and how
#: many are ``unmarked`` behind the last: it is cut at one of them.
CUT_LIVE = """
local function cut_live(log, live, marks, unmarked, live_bytes)
  if #marks == 0 then return end
  local all, size = {}, unmarked
  local before = redis.call('HGET', log, 'marks') or ''
  for mark in string.gmatch(before .. ' ' .. table.concat(marks, ' '), '%S+') do
    all[#all + 1] = mark
  end
  local old = #all
  while old > 0 and size < live_bytes do
    size = size + tonumber(string.match(all[old], ':(%d+)'))
    old = old - 1
  end
  if old > 0 then
    redis.call('XTRIM', live, 'MINID', text(tonumber(string.match(all[old], '%d+')) + 1))
  end
  redis.call('HSET', log, 'marks', table.concat(all, ' ', old + 1))
end
"""
