"""What Redis does with leases, and with who is present, which is one, too.

The keys (``P`` is the prefix): ``{P}:l:NAME`` a lease, its owner; ``{P}:m:TOPIC`` a hash of who is
present on a topic, ``{P}:v:TOPIC`` one of what belongs to their names, as JSON, and ``{P}:members``
a sorted set of when each of them lapses.
"""

from __future__ import annotations

from .script import reading, writing

__all__ = [
    "CLAIM",
    "DESCRIBE",
    "DESCRIBED",
    "JOIN",
    "LAPSED",
    "MEMBERS",
    "PROLONG",
    "RELEASE",
]

#: KEYS lease; ARGV owner milliseconds. Who held it.
CLAIM = writing(
    """
local holder = redis.call('GET', KEYS[1])
if not holder or holder == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return holder
"""
)

#: KEYS lease; ARGV owner milliseconds. Whether he holds it.
PROLONG = writing(
    "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
)

#: KEYS lease; ARGV owner.
RELEASE = writing(
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
local function write(key, values, name, owners)
  if next(owners) then redis.call('HSET', key, name, cjson.encode(owners))
  else
    redis.call('HDEL', key, name)
    redis.call('HDEL', values, name)
  end
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

#: KEYS present members values; ARGV topic owner name count milliseconds. How many there were under
#: this name, and how many there are now, lapsed ones that `LAPSED` has not told included.
JOIN = writing(
    _PRESENCE
    + """
local topic, owner, name, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local owners, member = owners_of(KEYS[1], name), cjson.encode({topic, owner, name})
local before = connections(owners, 0)
if not next(owners) then redis.call('HDEL', KEYS[3], name) end
if count == '0' then
  owners[owner] = nil
  redis.call('ZREM', KEYS[2], member)
else
  local till = string.format('%.0f', now + tonumber(ARGV[5]))
  owners[owner] = count .. ':' .. till
  redis.call('ZADD', KEYS[2], till, member)
end
write(KEYS[1], KEYS[3], name, owners)
return {before, connections(owners, 0)}
"""
)

#: KEYS present values; ARGV name. What belongs to it; nil when it is not present.
DESCRIBED = reading(
    """
if not redis.call('HGET', KEYS[1], ARGV[1]) then return false end
return redis.call('HGET', KEYS[2], ARGV[1]) or 'null'
"""
)

#: KEYS present values; ARGV name value. Likewise, before this.
DESCRIBE = writing(
    """
if not redis.call('HGET', KEYS[1], ARGV[1]) then return false end
local before = redis.call('HGET', KEYS[2], ARGV[1]) or 'null'
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return before
"""
)

#: KEYS present values. Names, counts and values.
MEMBERS = reading(
    _PRESENCE
    + """
local found, all = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local count = connections(cjson.decode(all[i + 1]), now)
  if count > 0 then
    found[#found + 1] = {all[i], count, redis.call('HGET', KEYS[2], all[i]) or 'null'}
  end
end
return found
"""
)

#: KEYS members; ARGV prefix-of-present prefix-of-values. Topics and names whose last process is
#: silent.
LAPSED = writing(
    _PRESENCE
    + """
local gone = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1000)) do
  local topic, owner, name = unpack(cjson.decode(member))
  local key = ARGV[1] .. topic
  local owners = owners_of(key, name)
  owners[owner] = nil
  write(key, ARGV[2] .. topic, name, owners)
  redis.call('ZREM', KEYS[1], member)
  if not next(owners) then gone[#gone + 1] = {topic, name} end
end
return gone
"""
)
