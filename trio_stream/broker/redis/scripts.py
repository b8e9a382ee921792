"""What Redis does by itself: each script is one step that nobody sees half of.

The keys, all in one slot of a cluster (``P`` is the prefix):

* ``{P}:log`` a hash: ``last`` and ``base``, the newest id and the one before the first; ``live``,
  the newest id in the stream below; ``run``, the run of Redis that wrote it; ``lost``, up to where
  events were lost; ``forgotten``, up to where topics were.
* ``{P}:live`` a stream of everything, not for long: what each process reads, on one connection.
* ``{P}:t:TOPIC`` a stream for each topic: its history.
* ``{P}:heads`` a sorted set: the newest id of each topic.
* ``{P}:cuts`` a sorted set: ranges of ids that may have been given before a restart and be lost.
* ``{P}:a:TOKEN`` the ids of a publish that was done, in case its publisher did not hear of it.
* ``{P}:l:NAME`` a lease; ``{P}:m:TOPIC`` and ``{P}:members`` who is present.

Every entry of a topic's stream says which entry was before it. So a reader can tell that something
is missing, whoever took it away: trimming, eviction, or a crash.

Ids are numbers of microseconds at first, and below 2**53 until the year 2255: exact in Lua.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1

__all__ = ["APPEND", "CLAIM", "ENTER", "JOIN", "LAPSED", "MEMBERS", "NEWER", "READ", "RELEASE"]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name that Redis gives it."""

    text: str
    sha: str


def _script(text: str) -> Script:
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


_COMMON = """
local function text(n) return string.format('%.0f', n) end
local function now_us()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end
"""

#: KEYS log live cuts; ARGV floor. Called for each new connection, before anything else is: the
#: first one after a restart of Redis starts a new range of ids, so that none is given twice even if
#: the newest were lost. ``floor`` is the newest id that the process knows: if it is in a range that
#: Redis has no more, something was lost, and everybody is told.
ENTER = _script(
    _COMMON
    + """
local log, live, cuts = KEYS[1], KEYS[2], KEYS[3]
local floor, now = tonumber(ARGV[1]), now_us()
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local state = redis.call('HMGET', log, 'last', 'run', 'live', 'lost')
local last = tonumber(state[1])
if not last then
  last = math.max(now, floor)
  redis.call('HSET', log, 'last', text(last), 'base', text(last), 'live', text(last), 'run', run)
  return {text(last), text(last)}
end
if state[2] ~= run then
  local from = last
  last = math.max(last, now, floor) + 1  -- no event's: what has this id knows of the cut
  redis.call('ZADD', cuts, text(last), text(from) .. ':' .. text(last))
  redis.call('ZREMRANGEBYRANK', cuts, 0, -65)
  redis.call('HSET', log, 'last', text(last), 'run', run)
end
for _, cut in ipairs(redis.call('ZRANGE', cuts, 0, -1)) do
  local from, to = string.match(cut, '(%d+):(%d+)')
  if tonumber(from) < floor and floor < tonumber(to) and floor > (tonumber(state[4]) or 0) then
    last = last + 1
    redis.call('XADD', live, text(last) .. '-0', 'p', state[3] or '0', 'lost', '1')
    redis.call('HSET', log, 'last', text(last), 'live', text(last), 'lost', text(last))
    break
  end
end
return {text(last), redis.call('HGET', log, 'base')}
"""
)

#: KEYS log live heads token topic...; ARGV floor events bytes age-in-ms live-events topics
#: token-seconds prefix count name..., then for each entry: its topic's number, key and body.
#: Returns the first id; the others follow it.
APPEND = _script(
    _COMMON
    + """
local log, live, heads, token = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local done = redis.call('GET', token)
if done then return done end
local floor, max_events, max_bytes = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local age, live_events, max_topics = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local count, now = tonumber(ARGV[9]), now_us()
local now_ms = math.floor(now / 1000)
-- A key that is not what it should be fails one of these calls, before anything is written.
redis.call('XLEN', live)
local state = redis.call('HMGET', log, 'last', 'base', 'live', 'forgotten')
local topics, known = {}, floor
for i = 1, count do
  local name, stream = ARGV[9 + i], KEYS[4 + i]
  local entry = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local offset = entry and string.match(entry[2][6], ':(%d+):') or '0'
  local before = redis.call('ZSCORE', heads, name)
  before = before and text(tonumber(before))
  if entry then known = math.max(known, tonumber(string.match(entry[1], '%d+'))) end
  topics[i] = {name = name, stream = stream, before = before, offset = tonumber(offset)}
end
local last, base, newest = tonumber(state[1]), tonumber(state[2]), state[3]
if not last then  -- deleted, or evicted: to every reader, all that was before is gone
  last = math.max(now, known)
  base, newest = last, text(last)
  redis.call('HSET', log, 'base', text(base))
elseif not base or redis.call('EXISTS', heads) == 0 and last > base then
  redis.call('HSET', log, 'lost', text(last))
end
last = math.max(last, known)
local unknown = text(math.max(base or last, tonumber(state[4]) or 0))
for _, topic in ipairs(topics) do topic.before = topic.before or unknown end
local first = text(last + 1)
for p = 10 + count, #ARGV, 3 do
  last = last + 1
  local id, topic, key, body = text(last), topics[tonumber(ARGV[p])], ARGV[p + 1], ARGV[p + 2]
  topic.offset = topic.offset + #body + 26
  redis.call('XADD', topic.stream, 'MAXLEN', max_events, id .. '-0', 'k', key, 'e', body,
             'm', topic.before .. ':' .. text(topic.offset) .. ':' .. text(now_ms))
  redis.call('XADD', live, 'MAXLEN', '~', live_events, id .. '-0', 'p', newest, 't', topic.name,
             'k', key, 'e', body)
  topic.before, newest = id, id
end
for _, topic in ipairs(topics) do
  redis.call('ZADD', heads, topic.before, topic.name)
  local look = 1
  while look > 0 do
    local cut, dropped = nil, 0
    for _, entry in ipairs(redis.call('XRANGE', topic.stream, '-', '+', 'COUNT', look)) do
      local offset, ms = string.match(entry[2][6], ':(%d+):(%d+)')
      local kept = topic.offset - tonumber(offset) + #entry[2][4] + 26
      local id = string.match(entry[1], '%d+')
      if (kept > max_bytes and id ~= topic.before) or (age > 0 and tonumber(ms) < now_ms - age) then
        cut, dropped = id, dropped + 1
      else
        break
      end
    end
    if cut then redis.call('XTRIM', topic.stream, 'MINID', text(tonumber(cut) + 1)) end
    look = dropped == look and 64 or 0
  end
  if age > 0 then redis.call('PEXPIRE', topic.stream, age + 60000) end
end
redis.call('HSET', log, 'last', text(last), 'live', newest)
redis.call('SET', token, first, 'EX', ARGV[7])
local many = redis.call('ZCARD', heads) - max_topics
if many > 0 then
  local oldest = redis.call('ZPOPMIN', heads, many)
  for i = 1, #oldest, 2 do redis.call('DEL', ARGV[8] .. oldest[i]) end
  redis.call('HSET', log, 'forgotten', text(tonumber(oldest[#oldest])))
end
return first
"""
)

#: KEYS log heads cuts topic...; ARGV after limit name...
READ = _script(
    """
local state = redis.call('HMGET', KEYS[1], 'last', 'base', 'lost', 'forgotten')
local found = {}
for i = 3, #ARGV do
  local head = redis.call('ZSCORE', KEYS[2], ARGV[i])
  local entries = redis.call('XRANGE', KEYS[i + 1], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
  found[#found + 1] = {head and string.format('%.0f', tonumber(head)) or '', entries}
end
local t = redis.call('TIME')
local now_ms = string.format('%.0f', tonumber(t[1]) * 1000 + tonumber(t[2]) / 1000)
return {state, redis.call('ZRANGE', KEYS[3], 0, -1), now_ms, found}
"""
)

#: KEYS log heads; ARGV after. The names of all topics that have something newer.
NEWER = _script(
    """
return {redis.call('HGET', KEYS[1], 'last'),
        redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf')}
"""
)

#: KEYS lease; ARGV owner milliseconds. Who held it.
CLAIM = _script(
    """
local holder = redis.call('GET', KEYS[1])
if not holder or holder == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return holder
"""
)

#: KEYS lease; ARGV owner.
RELEASE = _script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)

#: Who is present on a topic is a hash: by name, the owners with how many they have and until when.
_PRESENCE = """
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local function owners_of(key, name)
  local owners = redis.call('HGET', key, name)
  return owners and cjson.decode(owners) or {}
end
local function write(key, name, owners)
  if next(owners) then redis.call('HSET', key, name, cjson.encode(owners))
  else redis.call('HDEL', key, name) end
end
local function connections(owners, since)
  local found = 0
  for _, lease in pairs(owners) do
    local count, till = string.match(lease, '(%d+):(%d+)')
    if tonumber(till) > since then found = found + tonumber(count) end
  end
  return found
end
"""

#: KEYS present members; ARGV topic owner name count milliseconds. How many there were under this
#: name, and how many there are now, lapsed ones that `LAPSED` has not told included.
JOIN = _script(
    _PRESENCE
    + """
local topic, owner, name, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local owners, member = owners_of(KEYS[1], name), cjson.encode({topic, owner, name})
local before = connections(owners, 0)
if count == '0' then
  owners[owner] = nil
  redis.call('ZREM', KEYS[2], member)
else
  local till = string.format('%.0f', now + tonumber(ARGV[5]))
  owners[owner] = count .. ':' .. till
  redis.call('ZADD', KEYS[2], till, member)
end
write(KEYS[1], name, owners)
return {before, connections(owners, 0)}
"""
)

#: KEYS present. Names and counts.
MEMBERS = _script(
    _PRESENCE
    + """
local found, all = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local count = connections(cjson.decode(all[i + 1]), now)
  if count > 0 then found[#found + 1] = {all[i], count} end
end
return found
"""
)

#: KEYS members; ARGV prefix-of-present. Topics and names whose last process is silent.
LAPSED = _script(
    _PRESENCE
    + """
local gone = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1000)) do
  local topic, owner, name = unpack(cjson.decode(member))
  local key = ARGV[1] .. topic
  local owners = owners_of(key, name)
  owners[owner] = nil
  write(key, name, owners)
  redis.call('ZREM', KEYS[1], member)
  if not next(owners) then gone[#gone + 1] = {topic, name} end
end
return gone
"""
)
