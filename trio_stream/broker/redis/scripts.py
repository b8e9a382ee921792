"""What Redis does with the log: each script is one step that nobody sees half of.

The keys, all in one slot of a cluster (``P`` is the prefix):

* ``{P}:log`` a hash: ``last`` and ``base``, the newest id and the one before the first; ``kept``,
  the newest that is in a topic; ``live``,
  the newest id in the stream below; ``run``, the run of Redis that wrote it; ``lost``, up to where
  events were lost; ``forgotten``, up to where topics were; ``options``, those of who opened it
  last; ``marks`` and ``bytes``, how much lies in the stream below, up to some ids and after them.
* ``{P}:live`` a stream of everything, not for long: what each process reads, on one connection.
* ``{P}:t:TOPIC`` a stream for each topic: its history.
* ``{P}:h:TOPIC`` the newest id that was deleted there from among others, how many that were, and up
  to where all was deleted at once.
* ``{P}:heads`` a sorted set: the newest id of each topic.
* ``{P}:cuts`` a sorted set: ranges of ids that may have been given before a restart and be lost.
* ``{P}:o:...`` the id of what was published to a topic ``once``.
* ``{P}:a:OWNER`` the last batch that a process published, and its first id, in case it did not hear
  of it.

What is read of topics is in `read_scripts`, what is passed on or deleted in `other_scripts`, and
leases and who is present in `lease_scripts`.

Every entry of a topic's stream says which entry was before it. So a reader can tell that something
is missing, whoever took it away: trimming, eviction, or a crash.

Ids are numbers of microseconds at first, and below 2**53 until the year 2255: exact in Lua.
"""

from __future__ import annotations

from .lua import COMMON, CUT_LIVE
from .read_scripts import NEWER, READ
from .script import reading, writing

__all__ = ["APPEND", "ENTER", "LOOK", "NEWER", "READ"]

#: KEYS log live cuts; ARGV floor. What a new connection is greeted with: `LOOK` writes nothing, and
#: says whether `ENTER` has to. ``floor`` is the newest id that the process knows: if it is in a
#: range that Redis has no more, something was lost.
_ENTRANCE = (
    COMMON
    + """
local log, live, cuts = KEYS[1], KEYS[2], KEYS[3]
local floor = tonumber(ARGV[1])
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)')
if not run then
  return redis.error_reply('NOINFO a script has to ask INFO for the run_id, by which a restart ' ..
                           'is known, and gets: ' .. tostring(info.err or 'none'))
end
local state = redis.call('HMGET', log, 'last', 'run', 'live', 'lost', 'base', 'options')
local function is_lost()
  for _, cut in ipairs(redis.call('ZRANGE', cuts, 0, -1)) do
    local from, to = string.match(cut, '(%d+):(%d+)')
    if tonumber(from) < floor and floor < tonumber(to) and floor > (tonumber(state[4]) or 0) then
      return true
    end
  end
end
"""
)

#: Returns the run of Redis, the newest id and the one before the first, whether all is as it should
#: be, and the options of who opened this log last.
LOOK = reading(
    _ENTRANCE
    + """
local well = state[2] == run and not is_lost()
return {run, state[1] or '0', state[5] or '0', well and 1 or 0, state[6] or ''}
"""
)

#: ARGV also options. The first one after a restart of Redis starts a new range of ids, so that none
#: is given twice even if the newest were lost. What was lost is told to everybody. Returns the run
#: of Redis, the newest id and the one before the first.
ENTER = writing(
    _ENTRANCE
    + """
local now, last = now_us(), tonumber(state[1])
if not last then
  last = math.max(now, floor)
  redis.call('HSET', log, 'last', text(last), 'base', text(last), 'live', text(last), 'run', run,
             'kept', text(last), 'options', ARGV[2])
  return {run, text(last), text(last)}
end
if state[2] ~= run then
  local from = last
  last = math.max(last, now, floor) + 1  -- no event's: what has this id knows of the cut
  redis.call('ZADD', cuts, text(last), text(from) .. ':' .. text(last))
  redis.call('ZREMRANGEBYRANK', cuts, 0, -65)
  redis.call('HSET', log, 'last', text(last), 'run', run)
end
if is_lost() then
  last = last + 1
  redis.call('XADD', live, text(last) .. '-0', 'p', state[3] or '0', 'lost', '1')
  redis.call('HSET', log, 'last', text(last), 'live', text(last), 'lost', text(last))
end
redis.call('HSET', log, 'options', ARGV[2])
return {run, text(last), redis.call('HGET', log, 'base')}
"""
)

#: KEYS log live heads token topic... lease... once...; ARGV floor run batch live-events live-bytes
#: topics token-seconds prefix prefix-of-holes, how many topics, for each its name, events, bytes
#: and age in ms; how many leases, for each its owner and the numbers of the first and the last
#: entry that need it; how many that are to be stored once, for each its entry's number and the ms
#: for which that is known; then for each entry: its topic's number, key, body, and the stream that
#: it is not for. Returns the first id, which the others follow, the numbers of the leases that are
#: not held, and ``n:id`` for entries that are known: what needs such a lease, or is known, is not
#: stored.
#:
#: The token says which of its owner's batches was done last: one that comes twice, whenever that
#: is, is not done twice.
APPEND = writing(
    COMMON
    + CUT_LIVE
    + """
local log, live, heads, token = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local floor, run, batch = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local live_events, live_bytes, max_topics = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local count, now = tonumber(ARGV[10]), now_us()
local now_ms = math.floor(now / 1000)
local done, answer = string.match(redis.call('GET', token) or '', '(%d+):(.*)')
if done and tonumber(done) == batch then return answer end
if done and tonumber(done) > batch then return redis.error_reply('OUTDATED a newer one is done') end
-- A key that is not what it should be fails one of these calls, before anything is written.
redis.call('XLEN', live)
local state =
  redis.call('HMGET', log, 'last', 'base', 'live', 'forgotten', 'run', 'bytes', 'kept')
if state[1] and state[5] ~= run then return redis.error_reply('NOTENTERED it has restarted') end
local topics, known = {}, floor
for i = 1, count do
  local a, stream = 7 + 4 * i, KEYS[4 + i]
  local name = ARGV[a]
  local entry = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local offset = entry and string.match(entry[2][6], ':(%d+):') or '0'
  local before = redis.call('ZSCORE', heads, name)
  before = before and text(tonumber(before))
  if entry then known = math.max(known, tonumber(string.match(entry[1], '%d+'))) end
  topics[i] = {name = name, stream = stream, before = before, offset = tonumber(offset),
               events = ARGV[a + 1], bytes = tonumber(ARGV[a + 2]), age = tonumber(ARGV[a + 3])}
end
local entries, refused, others = 12 + 4 * count, {}, {}
local leases = tonumber(ARGV[entries - 1])
for i = 1, leases do
  if redis.call('GET', KEYS[4 + count + i]) ~= ARGV[entries] then
    others[#others + 1] = i
    for n = tonumber(ARGV[entries + 1]), tonumber(ARGV[entries + 2]) do refused[n] = true end
  end
  entries = entries + 3
end
local once, by_key, ids, doubles = {}, {}, {}, {}
entries = entries + 1
local from = entries + 2 * tonumber(ARGV[entries - 1])
for i = 1, tonumber(ARGV[entries - 1]) do
  local n, key = tonumber(ARGV[entries]), KEYS[4 + count + leases + i]
  local id = redis.call('GET', key)
  if id then  -- unless all of the topic was deleted since
    local topic = topics[tonumber(ARGV[from + 4 * (n - 1)])]
    local upto = string.match(redis.call('GET', ARGV[9] .. topic.name) or '', '%d+:%d+:(%d+)')
    if upto and tonumber(id) <= tonumber(upto) then id = false end
  end
  if not refused[n] and (id or by_key[key]) then
    refused[n] = true
    if id then ids[n] = id end
    doubles[#doubles + 1] = {n, by_key[key] or n}
  elseif not refused[n] then
    by_key[key] = n
    once[n] = {key, ARGV[entries + 1]}
  end
  entries = entries + 2
end
local stored, grown = {}, {}
for p = entries, #ARGV, 4 do
  if not refused[(p - entries) / 4 + 1] then
    local topic = topics[tonumber(ARGV[p])]
    stored[#stored + 1] = p
    if not topic.grows then grown[#grown + 1], topic.grows = topic, true end
  end
end
local last, base, newest = tonumber(state[1]), tonumber(state[2]), state[3]
if not last then  -- deleted, or evicted: to every reader, all that was before is gone
  last = math.max(now, known)
  base, newest = last, text(last)
  redis.call('HSET', log, 'base', text(base), 'run', run, 'kept', text(base))
elseif not base or redis.call('EXISTS', heads) == 0 and (tonumber(state[7]) or last) > base then
  redis.call('HSET', log, 'lost', text(last))
end
last = math.max(last, known)
local unknown = text(math.max(base or last, tonumber(state[4]) or 0))
for _, topic in ipairs(topics) do topic.before = topic.before or unknown end
local first, unmarked, marks = text(last + 1), tonumber(state[6]) or 0, {}
for _, p in ipairs(stored) do
  last = last + 1
  local id, topic, key, body = text(last), topics[tonumber(ARGV[p])], ARGV[p + 1], ARGV[p + 2]
  local but, n = ARGV[p + 3], (p - entries) / 4 + 1
  topic.offset = topic.offset + #body + 26
  local place = topic.before .. ':' .. text(topic.offset) .. ':' .. text(now_ms)
  if but == '' then
    redis.call('XADD', topic.stream, 'MAXLEN', topic.events, id .. '-0', 'k', key, 'e', body,
               'm', place)
    redis.call('XADD', live, 'MAXLEN', '~', live_events, id .. '-0', 'p', newest, 't', topic.name,
               'k', key, 'e', body)
  else
    redis.call('XADD', topic.stream, 'MAXLEN', topic.events, id .. '-0', 'k', key, 'e', body,
               'm', place, 'b', but)
    redis.call('XADD', live, 'MAXLEN', '~', live_events, id .. '-0', 'p', newest, 't', topic.name,
               'k', key, 'e', body, 'b', but)
  end
  if once[n] then
    redis.call('SET', once[n][1], id, 'PX', once[n][2])
    ids[n] = id
  end
  topic.before, newest = id, id
  unmarked = unmarked + #body + #topic.name + 50
  if unmarked * 8 >= live_bytes then
    marks[#marks + 1] = id .. ':' .. text(unmarked)
    unmarked = 0
  end
end
for _, topic in ipairs(grown) do
  redis.call('ZADD', heads, topic.before, topic.name)
  local look = 1
  while look > 0 do
    local cut, dropped = nil, 0
    for _, entry in ipairs(redis.call('XRANGE', topic.stream, '-', '+', 'COUNT', look)) do
      local offset, ms = string.match(entry[2][6], ':(%d+):(%d+)')
      local kept = topic.offset - tonumber(offset) + #entry[2][4] + 26
      local id = string.match(entry[1], '%d+')
      local old = topic.age > 0 and tonumber(ms) < now_ms - topic.age
      if old or (kept > topic.bytes and id ~= topic.before) then
        cut, dropped = id, dropped + 1
      else
        break
      end
    end
    if cut then redis.call('XTRIM', topic.stream, 'MINID', text(tonumber(cut) + 1)) end
    look = dropped == look and 64 or 0
  end
  if topic.age > 0 then redis.call('PEXPIRE', topic.stream, topic.age + 60000)
  else redis.call('PERSIST', topic.stream) end
end
cut_live(log, live, marks, unmarked, live_bytes)
if #stored > 0 then redis.call('HSET', log, 'kept', text(last)) end
redis.call('HSET', log, 'last', text(last), 'live', newest, 'bytes', text(unmarked))
for _, pair in ipairs(doubles) do others[#others + 1] = pair[1] .. ':' .. ids[pair[2]] end
table.insert(others, 1, first)
answer = table.concat(others, ' ')
redis.call('SET', token, ARGV[3] .. ':' .. answer, 'EX', ARGV[7])
local many = redis.call('ZCARD', heads) - max_topics
if many > 0 then
  local oldest = redis.call('ZPOPMIN', heads, many)
  for i = 1, #oldest, 2 do redis.call('DEL', ARGV[8] .. oldest[i], ARGV[9] .. oldest[i]) end
  redis.call('HSET', log, 'forgotten', text(tonumber(oldest[#oldest])))
end
return answer
"""
)
