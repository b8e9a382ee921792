-- Topics of trio_stream in PostgreSQL 13 or newer, version 3 of their schema.
--
-- Texts are bytea, in UTF-8: a topic may hold what no text of PostgreSQL does, a zero character.
-- A backslash is in E'' alone, which means the same with standard_conforming_strings off.
-- Nothing is counted in rows that are updated with each event, and the outbox is never searched from
-- its beginning: while somebody keeps a transaction open, old versions of rows cannot be removed, and
-- who had to pass over them would be slower with every event.

CREATE SCHEMA trio_stream;

-- Its last_value is the newest id that was given; only who holds the numbering lock asks it.
CREATE SEQUENCE trio_stream.ids;
CREATE SEQUENCE trio_stream.signal_numbers;
-- While the server sleeps: of older transactions than this all is numbered. 0 where that is not known.
CREATE SEQUENCE trio_stream.seen MINVALUE 0 START 0;

CREATE TABLE trio_stream.log (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    version integer NOT NULL,
    base bigint NOT NULL,      -- of topics that are not here, all up to this id may be gone
    lost bigint NOT NULL DEFAULT 0,    -- somewhere before this id something was lost
    timeline text NOT NULL     -- another one after a failover, or a restored backup
);

-- What is published in somebody's transaction, until it is numbered.
CREATE TABLE trio_stream.outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    topic bytea NOT NULL,
    key bytea NOT NULL DEFAULT '',
    but bytea NOT NULL DEFAULT '',
    body bytea NOT NULL,
    keep boolean NOT NULL DEFAULT true,
    once bytea,
    once_for double precision NOT NULL DEFAULT 300,
    ring boolean NOT NULL DEFAULT true
);
ALTER TABLE trio_stream.outbox ALTER body SET STORAGE EXTERNAL;
CREATE INDEX outbox_order ON trio_stream.outbox (xid, seq);
ALTER TABLE trio_stream.outbox ENABLE ROW LEVEL SECURITY;

-- A row is what was numbered at once of a topic: events whose ids follow one another, the last of
-- which is its id. As rows of their own they take three times the space, and two to three times as
-- long to read. What is beyond what a topic keeps may be a part of a row; what is forgotten from its
-- middle makes two of it.
-- n and total count a topic's events and their bytes from its first one to the row's last, so that its
-- newest row and any other say what is between them. prior is the id of the event before the first.
CREATE TABLE trio_stream.events (
    id bigint PRIMARY KEY,
    topic integer NOT NULL,
    span integer NOT NULL,     -- how many events
    n bigint NOT NULL,
    total bigint NOT NULL,
    prior bigint NOT NULL,
    time timestamptz NOT NULL DEFAULT clock_timestamp(),
    batch uuid,                -- of the first event of what was published at once
    sizes bytea NOT NULL,      -- of each event's bytes, as int4send writes them
    keys bytea,                -- each after its size, or NULL where all are empty
    buts bytea,
    data bytea NOT NULL        -- the events' wire forms, ids included, one after another
);
ALTER TABLE trio_stream.events ALTER data SET STORAGE EXTERNAL;
-- Who reads one topic asks for (topic, id), compared and ordered as a row. Else the planner may take
-- the primary key, once it has statistics, and pass over all events of others.
CREATE INDEX events_of_topic ON trio_stream.events (topic, id);

CREATE TABLE trio_stream.topics (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name bytea NOT NULL UNIQUE,
    trimmed bigint NOT NULL,   -- up to this id all is deleted
    cut_n bigint NOT NULL DEFAULT 0,        -- n and total of the newest that is
    cut_total bigint NOT NULL DEFAULT 0,
    hole bigint NOT NULL DEFAULT 0,         -- the newest that was deleted from among others
    holes bigint NOT NULL DEFAULT 0         -- and how many were
);
CREATE INDEX topics_trimmed ON trio_stream.topics (trimmed);
CREATE INDEX topics_hole ON trio_stream.topics (hole);

-- For who is there now: what is not kept, what was forgotten, that something was lost.
CREATE UNLOGGED TABLE trio_stream.signals (
    number bigint PRIMARY KEY,
    kind "char" NOT NULL,      -- p, f or l
    after bigint NOT NULL,     -- the id behind which it comes
    topic bytea NOT NULL,
    key bytea NOT NULL DEFAULT '',
    but bytea NOT NULL DEFAULT '',
    body bytea NOT NULL DEFAULT '',
    time timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE trio_stream.once (
    topic bytea NOT NULL,
    key bytea NOT NULL,
    id bigint NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (topic, key)
);
CREATE INDEX once_until ON trio_stream.once (until);

-- Of what was published at once, and is not all stored: what was answered, for who asks again.
CREATE TABLE trio_stream.answers (
    batch uuid PRIMARY KEY,
    ids bigint[] NOT NULL,
    time timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE trio_stream.leases (
    name bytea PRIMARY KEY,
    owner bytea NOT NULL,
    until timestamptz NOT NULL
);

CREATE TABLE trio_stream.present (
    topic bytea NOT NULL,
    name bytea NOT NULL,
    owner bytea NOT NULL,
    count integer NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (topic, name, owner)
);
CREATE INDEX present_until ON trio_stream.present (until);

-- What belongs to the names of who is present, as JSON; of others there is nothing.
CREATE TABLE trio_stream.described (
    topic bytea NOT NULL,
    name bytea NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (topic, name)
);

-- The advisory locks, all of class 1953655151, which is "trio":
-- 1 is held while something is numbered, up to the end of the transaction, so that ids become
--   visible in their order;
-- 2 is held, for itself alone, by the server that sleeps until somebody rings;
-- 3 by the server that sees after the outbox;
-- 4 while old events are deleted;
-- 5 while trio-stream migrate looks what is there, and makes it.
-- Those of class 1953655152 are of who is present: one for each topic and name.

-- Publishers.

-- What anybody may put into the outbox: what could not be numbered, or read, would hold up all that
-- comes after it.
CREATE FUNCTION trio_stream.check_fully(
    topic bytea, key bytea, but bytea, body bytea, keep boolean, once bytea, once_for double precision
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names bytea := topic || ' '::bytea || key || ' '::bytea || but || coalesce(' '::bytea || once, '');
    characters integer;
BEGIN
    IF topic = '' OR octet_length(topic) > 1024 OR get_byte(topic, 0) = 36
       OR position(E'\\x2a'::bytea IN topic) > 0 AND (
          position(E'\\x2f2a2f'::bytea IN E'\\x2f'::bytea || topic || E'\\x2f'::bytea) > 0
          OR position(E'\\x2f2a2a2f'::bytea IN E'\\x2f'::bytea || topic || E'\\x2f'::bytea) > 0) THEN
        RAISE check_violation USING MESSAGE =
            'a topic is no pattern, does not begin with $, and has 1 to 1024 bytes';
    END IF;
    IF key <> '' AND (octet_length(key) > 1024 OR get_byte(key, 0) = 36)
       OR octet_length(but) > 1024 THEN
        RAISE check_violation USING MESSAGE =
            'a key does not begin with $, and has at most 1024 bytes, as a stream''s id has';
    END IF;
    IF octet_length(body) > 67108864 THEN
        RAISE check_violation USING MESSAGE = 'an event has at most 64 MiB';
    END IF;
    IF position(E'\\x0a0a'::bytea IN body) <> octet_length(body) - 1
       OR octet_length(body) < 3 OR position(E'\\x0d'::bytea IN body) > 0
       OR position(E'\\x0a6964'::bytea IN body) > 0
       OR substring(body FOR 2) = E'\\x6964'::bytea THEN
        RAISE check_violation USING MESSAGE = 'a body is one event, without an id';
    END IF;
    IF NOT keep AND once IS NOT NULL OR once = '' OR octet_length(once) > 1024
       OR NOT (once_for > 0 AND once_for <= 1000000000) THEN    -- NaN is more than all
        RAISE check_violation USING MESSAGE =
            'once is for what is kept, for 1000000000 seconds at most, and has 1 to 1024 bytes';
    END IF;
    WHILE position(E'\\x00'::bytea IN names) > 0 LOOP    -- which length() would refuse
        names := set_byte(names, position(E'\\x00'::bytea IN names) - 1, 32);
    END LOOP;
    characters := length(names, 'UTF8');    -- an error, if they are no UTF-8
END $$;

-- Most events pass by one expression, for which each transaction pays that publishes a single one: by
-- the number of its operators, so that each compares with as many patterns as it can. Constraints would
-- be planned anew for each statement, and a search_path of its own costs as much as all of this: so
-- functions and operators have their schema, as whoever inserts has a path of his.
CREATE FUNCTION trio_stream.check_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.key OPERATOR(pg_catalog.=) '' AND NEW.but OPERATOR(pg_catalog.=) ''
       AND NEW.once IS NULL AND NEW.once_for OPERATOR(pg_catalog.=) 300
       -- characters; an error, if it is no UTF-8
       AND pg_catalog.length(NEW.topic, 'UTF8') OPERATOR(pg_catalog.<=) 256
       AND NEW.topic OPERATOR(pg_catalog.!~~)    -- empty, $, *, and a zero
           ALL (E'{"", $%, %*%, "\\\\x250025"}'::pg_catalog.bytea[])
       AND pg_catalog.octet_length(NEW.body) OPERATOR(pg_catalog.<=) 67108864
       AND NEW.body OPERATOR(pg_catalog.~~) E'\\x5f250a0a'    -- up to an empty line
       AND NEW.body OPERATOR(pg_catalog.!~~)    -- an id, a CR, an empty line before the last
           ALL (E'{id%, "\\\\x250a696425", "\\\\x250d25", "\\\\x250a0a5f25"}'::pg_catalog.bytea[]) THEN
        RETURN NEW;
    END IF;
    PERFORM trio_stream.check_fully(
        NEW.topic, NEW.key, NEW.but, NEW.body, NEW.keep, NEW.once, NEW.once_for);
    RETURN NEW;
END $$;

CREATE TRIGGER check_event BEFORE INSERT ON trio_stream.outbox
FOR EACH ROW EXECUTE FUNCTION trio_stream.check_event();

-- Called when a publisher commits. Who finds the server awake keeps it so until its events can be
-- seen, as it cannot get lock 2 until then. Who finds it asleep numbers them by himself, once all else
-- that waits for the commit is done, or rings.
CREATE FUNCTION trio_stream.ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN -- with WHEN (NEW.ring) this would be planned anew for each statement, too
    IF NEW.ring AND NOT pg_catalog.pg_try_advisory_xact_lock_shared(1953655151, 2) THEN
        IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
            PERFORM pg_catalog.set_config('trio_stream.told', '', true);
            IF NOT trio_stream.number_own() THEN
                PERFORM pg_catalog.pg_notify('trio_stream_bell', '');
            END IF;
        ELSIF pg_catalog.current_setting('trio_stream.told', true)
              IS DISTINCT FROM NEW.xid::pg_catalog.text THEN    -- the first of a transaction
            PERFORM pg_catalog.set_config('trio_stream.told', NEW.xid::pg_catalog.text, true);
            IF NOT trio_stream.will_number(NEW.seq) THEN
                PERFORM pg_catalog.pg_notify('trio_stream_bell', '');
            END IF;
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ring AFTER INSERT OR UPDATE OF ring ON trio_stream.outbox
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trio_stream.ring();

-- Whether this commits, and does nothing else: by a statement for that, or as the end of what a driver has
-- sent as one, which is of no statement any more.
CREATE FUNCTION trio_stream.commits() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_query() ~* E'^\\s*(commit|end)(\\s+(work|transaction))?\\s*;?\\s*$', true)
$$;

-- Whether this transaction will number its own events: then the trigger comes again, behind all that
-- is deferred to the commit by now, some of which may wait for others. Only where this commits now, by
-- a statement that does nothing else, as the numbering lock is held up to the end; where it sees what
-- others have numbered meanwhile; where it waits for the disk; and where it is little, and nothing of it
-- special.
CREATE FUNCTION trio_stream.will_number(first bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
    mine xid8 := pg_current_xact_id();
    is_little boolean;
BEGIN
    IF NOT trio_stream.commits()
       OR current_setting('transaction_isolation') <> 'read committed'
       OR current_setting('synchronous_commit') = 'off' THEN
        RETURN false;
    END IF;
    SELECT count(*) <= 100 AND sum(octet_length(body)) < 1048576 AND bool_and(keep AND once IS NULL)
    INTO is_little
    FROM (SELECT body, keep, once FROM trio_stream.outbox WHERE xid = mine LIMIT 101) AS o;
    IF is_little THEN
        UPDATE trio_stream.outbox SET ring = true WHERE xid = mine AND seq = will_number.first;
    END IF;
    RETURN is_little;
END $$;

-- Number what this transaction has published, as it commits; whether that is done. It is not where
-- somebody else numbers just now, or has committed what comes before; where another event was stored just
-- now, as whoever publishes much pays less to have a server awake for it; nor where it does not work, or
-- would wait for a table that is locked: then the server does it, and this commits all the same.
CREATE FUNCTION trio_stream.number_own() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET lock_timeout = '50ms' AS $$
#variable_conflict use_column
DECLARE
    mine xid8 := pg_current_xact_id();
    place bigint;
    own record;
BEGIN
    IF NOT trio_stream.commits() THEN
        RETURN false;
    END IF;
    BEGIN
        IF clock_timestamp() - interval '10 ms' < (
               SELECT time FROM trio_stream.events ORDER BY id DESC LIMIT 1)
           OR NOT pg_try_advisory_xact_lock(1953655151, 1) THEN
            RETURN false;
        END IF;
        SELECT last_value INTO place FROM trio_stream.seen;
        IF place = 0 OR EXISTS (SELECT FROM trio_stream.outbox
                                WHERE xid >= place::text::xid8 AND xid <> mine) THEN
            RETURN false;
        END IF;
        WITH gone AS (
            DELETE FROM trio_stream.outbox WHERE xid = mine RETURNING seq, topic, key, but, body)
        SELECT array_agg(topic ORDER BY seq) AS topics, array_agg(key ORDER BY seq) AS keys,
               array_agg(but ORDER BY seq) AS buts, array_agg(body ORDER BY seq) AS bodies
        INTO own FROM gone;
        PERFORM trio_stream.store(own.topics, own.keys, own.buts, own.bodies, NULL);
    EXCEPTION WHEN OTHERS THEN
        RETURN false;
    END;
    RETURN true;
END $$;

-- Publish an event, seen when, and only if, this transaction commits. With ring => false it may
-- take half a second longer: for transactions that are prepared, which may not notify.
CREATE FUNCTION trio_stream.publish(
    topic text, data text, event text DEFAULT NULL, key text DEFAULT '', but text DEFAULT '',
    once text DEFAULT NULL, once_for double precision DEFAULT 300, keep boolean DEFAULT true,
    ring boolean DEFAULT true
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN -- with as few operators as there can be, for which each call pays
    IF data LIKE ANY (ARRAY[E'%\n%', E'%\r%']) OR event LIKE ANY (ARRAY[E'%\n%', E'%\r%'])
       OR topic IS NULL OR data IS NULL THEN
        IF topic IS NULL OR data IS NULL THEN
            RAISE null_value_not_allowed USING MESSAGE = 'an event has a topic and data, if only ''''';
        END IF;
        IF event ~ E'[\r\n]' THEN
            RAISE invalid_parameter_value USING MESSAGE = 'an event''s name is one line';
        END IF;
        data := regexp_replace(data, E'\r\n|\r|\n', E'\ndata: ', 'g');
    END IF;
    IF key || but = '' AND once IS NULL AND keep AND ring AND once_for = 300 THEN
        INSERT INTO trio_stream.outbox (topic, body) VALUES (
            convert_to(publish.topic, 'UTF8'),
            convert_to(CASE WHEN event <> '' THEN 'event: ' || event || E'\ndata: ' ELSE 'data: ' END
                       || data || E'\n\n', 'UTF8'));
        RETURN;
    END IF;
    INSERT INTO trio_stream.outbox (topic, key, but, body, keep, once, once_for, ring) VALUES (
        convert_to(publish.topic, 'UTF8'), convert_to(coalesce(publish.key, ''), 'UTF8'),
        convert_to(coalesce(publish.but, ''), 'UTF8'),
        convert_to(CASE WHEN event <> '' THEN 'event: ' || event || E'\ndata: ' ELSE 'data: ' END
                   || data || E'\n\n', 'UTF8'),
        coalesce(publish.keep, true), convert_to(publish.once, 'UTF8'),
        coalesce(publish.once_for, 300), coalesce(publish.ring, true));
END $$;

CREATE FUNCTION trio_stream.publish(
    topic text, data jsonb, event text DEFAULT NULL, key text DEFAULT '', but text DEFAULT '',
    once text DEFAULT NULL, once_for double precision DEFAULT 300, keep boolean DEFAULT true,
    ring boolean DEFAULT true
) RETURNS void LANGUAGE sql AS $$
    SELECT trio_stream.publish(topic, data::text, event, key, but, once, once_for, keep, ring)
$$;

-- Whether a topic is this one, or matched by this pattern: * is one name between slashes, ** one or
-- more.
CREATE FUNCTION trio_stream.matches(topic bytea, pattern text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN position(E'\\x00'::bytea IN topic) > 0 THEN false ELSE
        convert_from(topic, 'UTF8') ~ ('^(?:' || string_agg(
            CASE segment WHEN '*' THEN '[^/]+' WHEN '**' THEN '.+'
            ELSE regexp_replace(segment, '([^[:alnum:]_])', E'\\\\\\1', 'g') END, '/' ORDER BY place
        ) || ')$') END
    FROM unnest(string_to_array(pattern, '/')) WITH ORDINALITY AS part (segment, place)
$$;

-- Let a role publish to the topics of a pattern, and do nothing else. May be called often.
CREATE FUNCTION trio_stream.let_publish(role name, pattern text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA trio_stream TO %I', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION trio_stream.publish(text, text, text, text, text, '
        'text, double precision, boolean, boolean), trio_stream.publish(text, jsonb, text, text, '
        'text, text, double precision, boolean, boolean), trio_stream.matches(bytea, text), '
        'trio_stream.check_fully(bytea, bytea, bytea, bytea, boolean, bytea, double precision), '
        'trio_stream.will_number(bigint), trio_stream.number_own() TO %I', role);
    EXECUTE format('GRANT INSERT (topic, key, but, body, keep, once, once_for, ring) '
        'ON trio_stream.outbox TO %I', role);
    EXECUTE format('DROP POLICY IF EXISTS %I ON trio_stream.outbox', md5(role || ' ' || pattern));
    EXECUTE format('CREATE POLICY %I ON trio_stream.outbox FOR INSERT TO %I '
        'WITH CHECK (trio_stream.matches(topic, %L))', md5(role || ' ' || pattern), role, pattern);
END $$;

-- Let a role open brokers, which do all that there is by functions of their owner's.
CREATE FUNCTION trio_stream.let_serve(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA trio_stream TO %I', role);
    EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA trio_stream TO %I', role);
    EXECUTE format('GRANT SELECT ON trio_stream.log TO %I', role);
END $$;

-- Numbering.

-- The newest id that can be seen.
CREATE FUNCTION trio_stream.head() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN -- which is planned once on each connection; what is plain SQL would be with each call
    RETURN (SELECT greatest((SELECT max(id) FROM trio_stream.events),
                            (SELECT max(trimmed) FROM trio_stream.topics),
                            (SELECT max(hole) FROM trio_stream.topics), base, lost)
            FROM trio_stream.log);
END $$;

CREATE FUNCTION trio_stream.now_as_id() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

CREATE FUNCTION trio_stream.signal(
    kind "char", topic bytea, key bytea DEFAULT '', but bytea DEFAULT '', body bytea DEFAULT '',
    after bigint DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    number bigint := nextval('trio_stream.signal_numbers');
BEGIN
    INSERT INTO trio_stream.signals (number, kind, after, topic, key, but, body)
    SELECT number, signal.kind, coalesce(signal.after, last_value), signal.topic, signal.key,
           signal.but, signal.body FROM trio_stream.ids;
    PERFORM pg_notify('trio_stream', '');
    RETURN number;
END $$;

-- Ids go on behind all that anybody may know, as some that were given are lost. With the lock held.
CREATE FUNCTION trio_stream.jump(known bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place bigint;
BEGIN
    SELECT greatest(last_value, known, trio_stream.now_as_id()) INTO place FROM trio_stream.ids;
    PERFORM setval('trio_stream.ids', place);
    UPDATE trio_stream.log SET lost = place,
           timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8);
    PERFORM trio_stream.signal('l', '');
END $$;

-- What every connection does first: see whether this is the log that the process knows, and whether
-- signals behind the last one that it heard of are gone.
CREATE FUNCTION trio_stream.enter(
    known bigint, heard bigint, OUT head bigint, OUT lost bigint, OUT signal bigint, OUT missed boolean,
    OUT started double precision
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM trio_stream.log, trio_stream.ids WHERE known > last_value
               OR timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8)) THEN
        PERFORM pg_advisory_xact_lock(1953655151, 1);
        IF EXISTS (SELECT FROM trio_stream.log, trio_stream.ids WHERE known > last_value
                   OR timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8)) THEN
            PERFORM trio_stream.jump(known);
        END IF;
    END IF;
    SELECT trio_stream.head(), log.lost, signal_numbers.last_value,
           heard < last_value AND NOT EXISTS (
               SELECT FROM trio_stream.signals WHERE number = heard + 1),
           extract(epoch FROM pg_postmaster_start_time())
    INTO enter.head, enter.lost, enter.signal, enter.missed, enter.started
    FROM trio_stream.log, trio_stream.signal_numbers;
END $$;

-- Put events of one topic into the log as one row, as most of what is put there at once is; whether they
-- are few and small enough. With the lock held.
CREATE FUNCTION trio_stream.store_row(
    of_topic bytea, before bigint, keys bytea[], buts bytea[], bodies bytea[], batch uuid
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    many integer := cardinality(bodies);
    row trio_stream.events;
    largest integer;
    behind record;
BEGIN
    IF many = 1 THEN
        row.data := convert_to('id: ' || before + 1 || E'\n', 'UTF8') || bodies[1];
        row.sizes := int4send(octet_length(row.data));
    ELSE
        SELECT string_agg(made, ''), string_agg(int4send(octet_length(made)), ''),
               max(octet_length(made))
        INTO row.data, row.sizes, largest
        FROM (SELECT convert_to('id: ' || before + ord || E'\n', 'UTF8') || body AS made
              FROM unnest(bodies) WITH ORDINALITY AS e (body, ord) OFFSET 0) AS e;    -- made once
        IF largest > 16384 OR octet_length(row.data) >= 32768 THEN
            RETURN false;
        END IF;
    END IF;
    IF '' <> ANY (keys) THEN
        SELECT string_agg(int4send(octet_length(item)) || item, '') INTO row.keys
        FROM unnest(keys) AS e (item);
    END IF;
    IF '' <> ANY (buts) THEN
        SELECT string_agg(int4send(octet_length(item)) || item, '') INTO row.buts
        FROM unnest(buts) AS e (item);
    END IF;
    LOOP
        SELECT t.number, coalesce(newest.n, t.cut_n) AS n,
               coalesce(newest.total, t.cut_total) AS total,
               coalesce(newest.id, greatest(t.trimmed, t.hole)) AS id INTO behind
        FROM trio_stream.topics AS t LEFT JOIN LATERAL (
            SELECT id, n, total FROM trio_stream.events AS e
            WHERE (e.topic, e.id) > (t.number, 0) AND e.topic <= t.number
            ORDER BY e.topic DESC, e.id DESC LIMIT 1) AS newest ON true
        WHERE t.name = of_topic;
        EXIT WHEN FOUND;
        INSERT INTO trio_stream.topics (name, trimmed) SELECT of_topic, base FROM trio_stream.log;
    END LOOP;
    INSERT INTO trio_stream.events
        (id, topic, span, n, total, prior, time, batch, sizes, keys, buts, data)
    VALUES (before + many, behind.number, many, behind.n + many,
            behind.total + octet_length(row.data), behind.id, clock_timestamp(), store_row.batch,
            row.sizes, row.keys, row.buts, row.data);
    RETURN true;
END $$;

-- Put events into the log, as rows of many where that can be. With the lock held.
CREATE FUNCTION trio_stream.store_rows(
    topics bytea[], keys bytea[], buts bytea[], bodies bytea[], batch uuid, before bigint
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now timestamptz := clock_timestamp();
BEGIN
    INSERT INTO trio_stream.topics (name, trimmed)
    SELECT DISTINCT name, base FROM unnest(store_rows.topics) AS mine (name), trio_stream.log
    WHERE NOT EXISTS (SELECT FROM trio_stream.topics AS t WHERE t.name = mine.name);
    WITH known AS MATERIALIZED (
        SELECT t.name, t.number, coalesce(newest.n, t.cut_n) AS n,
               coalesce(newest.total, t.cut_total) AS total,
               coalesce(newest.id, greatest(t.trimmed, t.hole)) AS id
        FROM (SELECT DISTINCT unnest(store_rows.topics) AS name) AS mine
        JOIN trio_stream.topics AS t USING (name)
        LEFT JOIN LATERAL (
            SELECT id, n, total FROM trio_stream.events
            WHERE (topic, id) > (t.number, 0) AND topic <= t.number
            ORDER BY topic DESC, id DESC LIMIT 1) AS newest ON true
    ), entry AS (
        SELECT *, octet_length(data) AS size FROM (
            SELECT ord, name, key, but,
                   convert_to('id: ' || before + ord || E'\n', 'UTF8') || body AS data
            FROM unnest(store_rows.topics, keys, buts, bodies)
                 WITH ORDINALITY AS e (name, key, but, body, ord) OFFSET 0) AS e    -- made once
    ), bounded AS (    -- in rows of some 32 KiB, where what is large is alone
        SELECT *, (ord - 1) / 500 AS about, sum(size) OVER own / 32768 AS room,
               lag(name) OVER own IS DISTINCT FROM name
               OR greatest(size, lag(size) OVER own) > 16384 AS begins
        FROM entry WINDOW own AS (ORDER BY ord)
    ), mine AS (
        SELECT name, count(*) AS span, min(ord) AS first, max(ord) AS last, sum(size) AS size,
               string_agg(int4send(size), ''::bytea) AS sizes,
               CASE WHEN bool_or(key <> '') THEN
                   string_agg(int4send(octet_length(key)) || key, ''::bytea) END AS keys,
               CASE WHEN bool_or(but <> '') THEN
                   string_agg(int4send(octet_length(but)) || but, ''::bytea) END AS buts,
               string_agg(data, ''::bytea) AS data
        FROM (SELECT *, count(*) FILTER (WHERE begins) OVER (ORDER BY ord) AS run FROM bounded
              ORDER BY run, about, room, name, ord) AS e    -- once, and not for each aggregate
        GROUP BY run, about, room, name
    )
    INSERT INTO trio_stream.events
        (id, topic, span, n, total, prior, time, batch, sizes, keys, buts, data)
    SELECT before + last, number, span, n + sum(span) OVER own, total + sum(size) OVER own,
           coalesce(before + lag(last) OVER own, id), now,
           CASE WHEN first = 1 THEN store_rows.batch END, sizes, keys, buts, data
    FROM mine JOIN known USING (name) WINDOW own AS (PARTITION BY name ORDER BY last)
    ORDER BY last;
END $$;

-- Put events into the log; returns the id before the first. With the lock held.
CREATE FUNCTION trio_stream.store(
    topics bytea[], keys bytea[], buts bytea[], bodies bytea[], batch uuid
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    before bigint;
BEGIN
    SELECT last_value INTO before FROM trio_stream.ids;
    IF cardinality(store.topics) > 500 OR store.topics[1] <> ANY (store.topics)
       OR NOT trio_stream.store_row(store.topics[1], before, store.keys, store.buts, store.bodies,
                                    store.batch) THEN
        PERFORM trio_stream.store_rows(store.topics, store.keys, store.buts, store.bodies,
                                       store.batch, before);
    END IF;
    PERFORM setval('trio_stream.ids', before + cardinality(store.topics));
    PERFORM pg_notify('trio_stream', '');
    RETURN before;
END $$;

-- Whether this is the first in its topic with this key; else the id of who was. With the lock held.
CREATE FUNCTION trio_stream.enter_once(
    topic bytea, key bytea, seconds double precision, id bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    found bigint;
BEGIN
    SELECT once.id INTO found FROM trio_stream.once
    WHERE once.topic = enter_once.topic AND once.key = enter_once.key
          AND until > clock_timestamp();
    IF found IS NULL THEN
        INSERT INTO trio_stream.once VALUES (
            enter_once.topic, enter_once.key, enter_once.id,
            clock_timestamp() + make_interval(secs => seconds))
        ON CONFLICT ON CONSTRAINT once_pkey DO UPDATE SET id = EXCLUDED.id, until = EXCLUDED.until;
    END IF;
    RETURN found;
END $$;

-- Number what waits in the outbox, of transactions from xmax on and of these before it; returns how
-- much that was, and whether there may be more. With the lock held.
CREATE FUNCTION trio_stream.take(
    xmax xid8, xip xid8[], most integer, OUT moved integer, OUT more boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    places tid[];
    topics bytea[];
    keys bytea[];
    buts bytea[];
    bodies bytea[];
    special boolean;
    waiting trio_stream.outbox;
    before bigint;
BEGIN
    SELECT array_agg(place), array_agg(topic), array_agg(key), array_agg(but), array_agg(body),
           bool_or(NOT keep OR once IS NOT NULL), count(*), count(*) >= most OR bool_or(size >= 4194304)
    INTO places, topics, keys, buts, bodies, special, moved, more
    FROM (
        SELECT *, sum(octet_length(body)) OVER (ORDER BY xid, seq) AS size FROM (
            (SELECT ctid AS place, o.* FROM trio_stream.outbox AS o
             WHERE xid = ANY (take.xip) ORDER BY xid, seq LIMIT most)
            UNION ALL
            (SELECT ctid AS place, o.* FROM trio_stream.outbox AS o
             WHERE xid >= take.xmax ORDER BY xid, seq LIMIT most)
        ) AS each
        ORDER BY xid, seq    -- as the sum has them already; each array would be sorted by itself
    ) AS page WHERE size - octet_length(body) < 4194304;
    more := coalesce(more, false);
    IF moved = 0 THEN
        RETURN;
    END IF;
    IF special THEN
        topics := '{}'; keys := '{}'; buts := '{}'; bodies := '{}';
        SELECT last_value INTO before FROM trio_stream.ids;
        FOR waiting IN SELECT o.* FROM unnest(places) WITH ORDINALITY AS p (place, ord)
                   JOIN trio_stream.outbox AS o ON o.ctid = place ORDER BY ord LOOP
            IF NOT waiting.keep THEN
                PERFORM trio_stream.signal('p', waiting.topic, waiting.key, waiting.but, waiting.body,
                                           before + cardinality(topics));
            ELSIF waiting.once IS NULL OR trio_stream.enter_once(
                waiting.topic, waiting.once, waiting.once_for, before + cardinality(topics) + 1) IS NULL THEN
                topics := topics || waiting.topic;
                keys := keys || waiting.key;
                buts := buts || waiting.but;
                bodies := bodies || waiting.body;
            END IF;
        END LOOP;
    END IF;
    IF cardinality(topics) > 0 THEN
        PERFORM trio_stream.store(topics, keys, buts, bodies, NULL);
    END IF;
    DELETE FROM trio_stream.outbox WHERE ctid = ANY (places);
END $$;

-- Number what waits, if anything does. The snapshot is for the next call, on this connection: all
-- that could be seen then is numbered. Who sleeps tells it to publishers, unless they would have to look
-- far, as somebody has an old transaction open.
CREATE FUNCTION trio_stream.number(
    xmax xid8, xip xid8[], most integer, sleeps boolean DEFAULT false,
    OUT moved integer, OUT more boolean, OUT seen_xmax xid8, OUT seen_xip xid8[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen pg_snapshot := pg_current_snapshot();
    oldest bigint;
BEGIN
    moved := 0;
    more := false;
    IF EXISTS (SELECT FROM trio_stream.outbox WHERE xid = ANY (number.xip))
       OR EXISTS (SELECT FROM trio_stream.outbox WHERE xid >= number.xmax) THEN
        PERFORM pg_advisory_xact_lock(1953655151, 1);
        seen := pg_current_snapshot();
        SELECT t.moved, t.more INTO number.moved, number.more
        FROM trio_stream.take(number.xmax, number.xip, most) AS t;
    END IF;
    IF more THEN
        seen_xmax := number.xmax;
        seen_xip := number.xip;
    ELSE
        seen_xmax := pg_snapshot_xmax(seen);
        seen_xip := array(SELECT pg_snapshot_xip(seen));
        IF sleeps THEN
            oldest := pg_snapshot_xmin(seen)::text::bigint;
            IF pg_snapshot_xmax(seen)::text::bigint > oldest + 1000 THEN
                oldest := 0;
            END IF;
            PERFORM setval('trio_stream.seen', oldest) FROM trio_stream.seen WHERE last_value <> oldest;
        END IF;
    END IF;
END $$;

-- Append what a broker publishes, behind what waited before; `before` is the id before the first,
-- and ids has one for each entry where they do not follow one another: 0 for what is not stored, as
-- its lease is not held. With `again` the same may have been stored already. Nothing is done, and
-- before is NULL, while much waits.
CREATE FUNCTION trio_stream.append(
    known bigint, batch uuid, again boolean,
    topics bytea[], keys bytea[], buts bytea[], bodies bytea[],
    lease_names bytea[], lease_owners bytea[], once_keys bytea[], once_seconds double precision[],
    xmax xid8, xip xid8[],
    OUT before bigint, OUT ids bigint[], OUT signal bigint, OUT seen_xmax xid8, OUT seen_xip xid8[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    seen pg_snapshot;
    is_more boolean := false;
    stored integer[] := '{}';
    found bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1953655151, 1);
    IF again THEN
        SELECT answers.ids INTO append.ids FROM trio_stream.answers
        WHERE answers.batch = append.batch;
        SELECT events.id - span INTO append.before FROM trio_stream.events
        WHERE id > known AND events.batch = append.batch;
        IF append.ids IS NOT NULL OR append.before IS NOT NULL THEN
            before := coalesce(before, 0);
            RETURN;
        END IF;
    END IF;
    seen := pg_current_snapshot();
    -- Seldom: to ask for nothing costs as much as to store an event.
    IF EXISTS (SELECT FROM trio_stream.outbox WHERE xid = ANY (append.xip))
       OR EXISTS (SELECT FROM trio_stream.outbox WHERE xid >= append.xmax) THEN
        SELECT t.more INTO is_more FROM trio_stream.take(append.xmax, append.xip, 1000) AS t;
    END IF;
    IF is_more THEN
        seen_xmax := append.xmax;
        seen_xip := append.xip;
        RETURN;
    END IF;
    seen_xmax := pg_snapshot_xmax(seen);
    seen_xip := array(SELECT pg_snapshot_xip(seen));
    SELECT last_value INTO signal FROM trio_stream.signal_numbers;
    IF known > (SELECT last_value FROM trio_stream.ids) THEN
        PERFORM trio_stream.jump(known);
    END IF;
    IF lease_names IS NULL AND once_keys IS NULL THEN
        before := trio_stream.store(topics, keys, buts, bodies, batch);
        RETURN;
    END IF;
    SELECT last_value INTO before FROM trio_stream.ids;
    ids := '{}';
    FOR i IN 1..cardinality(topics) LOOP
        IF lease_names[i] IS NOT NULL AND NOT EXISTS (
            SELECT FROM trio_stream.leases WHERE name = lease_names[i]
            AND owner = lease_owners[i] AND until > clock_timestamp()) THEN
            ids := ids || 0::bigint;
            CONTINUE;
        END IF;
        IF once_keys[i] IS NOT NULL THEN
            found := trio_stream.enter_once(
                topics[i], once_keys[i], once_seconds[i], before + cardinality(stored) + 1);
            IF found IS NOT NULL THEN
                ids := ids || found;
                CONTINUE;
            END IF;
        END IF;
        stored := stored || i;
        ids := ids || before + cardinality(stored);
    END LOOP;
    IF cardinality(stored) = cardinality(topics) THEN
        ids := NULL;
        before := trio_stream.store(topics, keys, buts, bodies, batch);
        RETURN;
    END IF;
    INSERT INTO trio_stream.answers VALUES (batch, ids);
    IF cardinality(stored) > 0 THEN
        PERFORM trio_stream.store(array_agg(topics[i] ORDER BY i), array_agg(keys[i] ORDER BY i),
            array_agg(buts[i] ORDER BY i), array_agg(bodies[i] ORDER BY i), batch)
        FROM unnest(stored) AS i;
    END IF;
END $$;

-- Hand events to who is there, and keep nothing; returns the number of the last one's signal.
CREATE FUNCTION trio_stream.pass_on(topics bytea[], keys bytea[], buts bytea[], bodies bytea[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(1953655151, 1);
    RETURN (SELECT max(trio_stream.signal('p', topics[i], keys[i], buts[i], bodies[i]))
            FROM generate_series(1, cardinality(topics)) AS i);
END $$;

-- What a process has not been fed yet. First the events, rows of the table as kind e; then what is
-- not in the log, with its number and the id behind which it comes. Kind i instead of events: some
-- are deleted already, and it goes on from this id.
CREATE FUNCTION trio_stream.live(seen bigint, signal bigint, most integer)
RETURNS TABLE (kind "char", id bigint, number bigint, topic bytea, key bytea, but bytea, data bytea,
               sizes bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    upto bigint;
BEGIN
    IF EXISTS (SELECT FROM trio_stream.topics WHERE trimmed > seen) THEN
        RETURN QUERY SELECT 'i'::"char", trio_stream.head(), 0::bigint, ''::bytea, ''::bytea,
                            ''::bytea, ''::bytea, ''::bytea;
    ELSE
        SELECT max(e.id) INTO upto FROM (
            SELECT e.id, sum(octet_length(e.data)) OVER (ORDER BY e.id ROWS UNBOUNDED PRECEDING)
                   - octet_length(e.data) AS size
            FROM (SELECT f.id, f.data FROM trio_stream.events AS f WHERE f.id > seen
                  ORDER BY f.id LIMIT most) AS e) AS e
        WHERE size < 4194304;
        RETURN QUERY SELECT 'e'::"char", e.id, 0::bigint, t.name, e.keys, e.buts, e.data, e.sizes
        FROM trio_stream.events AS e JOIN trio_stream.topics AS t ON t.number = e.topic
        WHERE e.id > seen AND e.id <= upto ORDER BY e.id;
        upto := CASE WHEN EXISTS (SELECT FROM trio_stream.events AS e WHERE e.id > upto)
                THEN upto END;
    END IF;
    RETURN QUERY SELECT s.kind, s.after, s.number, s.topic, s.key, s.but, s.body, ''::bytea
    FROM trio_stream.signals AS s WHERE s.number > signal AND (upto IS NULL OR s.after <= upto)
    ORDER BY s.number;
END $$;

-- Reading. Each of these is one statement, and sees one state of the log.

-- The number that int4send has written, behind so many bytes.
CREATE FUNCTION trio_stream.number_at(written bytea, place integer) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT (get_byte(written, place) << 24) + (get_byte(written, place + 1) << 16)
           + (get_byte(written, place + 2) << 8) + get_byte(written, place + 3)
$$;

-- What keys are of so many events that have none.
CREATE FUNCTION trio_stream.empty(many integer) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT decode(repeat('00000000', many), 'hex')
$$;

-- How many of the last of these sizes have together no more than this.
CREATE FUNCTION trio_stream.fitting(sizes bytea, room bigint) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    many integer := octet_length(sizes) / 4;
BEGIN
    FOR i IN 1..many LOOP
        room := room - trio_stream.number_at(sizes, 4 * (many - i));
        IF room < 0 THEN
            RETURN i - 1;
        END IF;
    END LOOP;
    RETURN many;
END $$;

-- Up to where each of these topics is gone, by what is kept of it, whether it is deleted or not.
CREATE FUNCTION trio_stream.floors(
    names bytea[], events bigint[], bytes bigint[], ages double precision[]
) RETURNS TABLE (place bigint, number integer, floor bigint, hole bigint, holes bigint)
LANGUAGE sql STABLE AS $$
    SELECT k.place, t.number,
           greatest(t.trimmed, CASE WHEN newest.id IS NULL THEN 0
                               ELSE coalesce(oldest.floor, newest.id) END), t.hole, t.holes
    FROM unnest(names, events, bytes, ages) WITH ORDINALITY AS k (name, events, bytes, age, place)
    LEFT JOIN trio_stream.topics AS t ON t.name = k.name
    LEFT JOIN LATERAL (SELECT id, n, total FROM trio_stream.events
                       WHERE (topic, id) > (t.number, 0) AND topic <= t.number
                       ORDER BY topic DESC, id DESC LIMIT 1) AS newest ON true
    LEFT JOIN LATERAL (
        SELECT greatest(prior,
            -- By number: of its own, so many are gone.
            CASE WHEN e.n - span < newest.n - k.events THEN id - e.n + newest.n - k.events ELSE 0 END,
            -- By bytes: so many of the last ones fit, and the newest of all does in any case.
            CASE WHEN newest.total - e.total + octet_length(data) > k.bytes THEN id - greatest(
                trio_stream.fitting(sizes, k.bytes - newest.total + e.total),
                CASE WHEN id = newest.id THEN 1 ELSE 0 END) ELSE 0 END) AS floor
        FROM trio_stream.events AS e
        WHERE (topic, id) > (t.number, t.trimmed) AND topic <= t.number
              AND n > newest.n - k.events
              AND (newest.total - e.total < k.bytes OR id = newest.id)
              AND (k.age IS NULL OR e.time >= clock_timestamp() - make_interval(secs => k.age))
        ORDER BY topic, id LIMIT 1) AS oldest ON true
$$;

-- A page of these topics, from behind one id up to another, in whole rows, of which the first ones may
-- begin before it: the events' bytes one after another, how many they are, and up to where that is all
-- there is. In floors each topic has the id behind which the page begins for it. Whose each row is, by
-- its place among the names, and how many events it has; or one place for all of them. keys and buts
-- where an event has one. In gone each topic has 0, or a number that is another whenever more has
-- gone, or -1: nothing is known of it.
CREATE FUNCTION trio_stream.read(
    names bytea[], events bigint[], bytes bigint[], ages double precision[],
    after bigint, upto bigint, most integer, size integer,
    OUT base bigint, OUT lost bigint, OUT gone bigint[], OUT floors bigint[], OUT done bigint,
    OUT data bytea, OUT last bigint, OUT sizes bytea, OUT places integer[], OUT spans integer[],
    OUT keys bytea, OUT buts bytea
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    head bigint;
    numbers integer[];
    lead integer;      -- whose the first row is
    start_n bigint;    -- the events of its topic before that
    start bigint;      -- and their bytes
    next bigint;       -- and before the first of all others
    special boolean;
    is_full boolean;
    rows integer;      -- that are looked at: a few large ones are a page
    found integer;
BEGIN
    SELECT trio_stream.head(), log.base, log.lost INTO head, read.base, read.lost
    FROM trio_stream.log;
    done := least(read.upto, head);
    SELECT array_agg(CASE WHEN number IS NULL THEN -1
                     WHEN read.after < greatest(floor, hole) THEN floor + holes ELSE 0 END
                     ORDER BY place),
           array_agg(number ORDER BY place), array_agg(greatest(floor, read.after) ORDER BY place)
    INTO read.gone, numbers, read.floors
    FROM trio_stream.floors(read.names, read.events, read.bytes, read.ages);
    SELECT place, before_n, before, lead(id - span) OVER (ORDER BY id)
    INTO lead, start_n, start, next
    FROM unnest(numbers, read.floors) WITH ORDINALITY AS f (number, floor, place)
    CROSS JOIN LATERAL (
        SELECT id, span, n - span AS before_n, total - octet_length(data) AS before
        FROM trio_stream.events
        WHERE (topic, id) > (number, floor) AND (topic, id) <= (number, read.upto)
        ORDER BY topic, id LIMIT 1) AS e
    ORDER BY id LIMIT 1;
    IF lead IS NULL THEN
        RETURN;
    END IF;
    -- What is alone up to a full page, as of a single topic or a busy one, is read as it lies there.
    FOREACH rows IN ARRAY ARRAY[16, 128, read.most] LOOP
        SELECT string_agg(data, ''::bytea) FILTER (WHERE fits), max(id) FILTER (WHERE fits),
               string_agg(sizes, ''::bytea) FILTER (WHERE fits),
               bool_or(keys IS NOT NULL OR buts IS NOT NULL), NOT bool_and(fits), count(*)
        INTO read.data, read.last, read.sizes, special, is_full, found
        FROM (SELECT id, keys, buts, data, sizes,
                     total - octet_length(data) <= start    -- the first one
                     OR total <= start + read.size AND n <= start_n + read.most AS fits
              FROM trio_stream.events
              WHERE (topic, id) > (numbers[lead], read.floors[lead])
                    AND (topic, id) <= (numbers[lead], least(next, read.upto))
              ORDER BY topic, id LIMIT rows) AS e;
        EXIT WHEN is_full OR found < rows OR rows >= read.most;
    END LOOP;
    is_full := is_full OR found >= rows;
    IF is_full OR next IS NULL THEN
        places := ARRAY[lead];
        IF special THEN
            SELECT string_agg(coalesce(keys, trio_stream.empty(span)), ''::bytea),
                   string_agg(coalesce(buts, trio_stream.empty(span)), ''::bytea)
            INTO read.keys, read.buts
            FROM (SELECT span, keys, buts FROM trio_stream.events
                  WHERE (topic, id) > (numbers[lead], read.floors[lead])
                        AND (topic, id) <= (numbers[lead], last)
                  ORDER BY topic, id) AS e;
        END IF;
    ELSE
        FOREACH rows IN ARRAY ARRAY[16, 128, read.most] LOOP
            SELECT string_agg(data, ''::bytea) FILTER (WHERE fits), max(id) FILTER (WHERE fits),
                   string_agg(sizes, ''::bytea) FILTER (WHERE fits),
                   array_agg(place) FILTER (WHERE fits), array_agg(span) FILTER (WHERE fits),
                   string_agg(coalesce(keys, trio_stream.empty(span)), ''::bytea) FILTER (WHERE fits),
                   string_agg(coalesce(buts, trio_stream.empty(span)), ''::bytea) FILTER (WHERE fits),
                   bool_or(keys IS NOT NULL OR buts IS NOT NULL), NOT bool_and(fits), count(*)
            INTO read.data, read.last, read.sizes, read.places, read.spans, read.keys, read.buts,
                 special, is_full, found
            FROM (SELECT *, row_number() OVER own = 1
                         OR sum(octet_length(data)) OVER own <= read.size
                         AND sum(span) OVER own <= read.most AS fits
                  FROM (SELECT e.*, place::integer
                        FROM unnest(numbers, read.floors) WITH ORDINALITY AS f (number, floor, place)
                        CROSS JOIN LATERAL (
                            SELECT id, span, sizes, keys, buts, data FROM trio_stream.events
                            WHERE (topic, id) > (number, floor)
                                  AND (topic, id) <= (number, read.upto)
                            ORDER BY topic, id LIMIT rows) AS e
                        ORDER BY id LIMIT rows) AS e
                  WINDOW own AS (ORDER BY id ROWS UNBOUNDED PRECEDING)) AS p;
            EXIT WHEN is_full OR found < rows OR rows >= read.most;
        END LOOP;
        IF NOT special THEN
            keys := NULL;
            buts := NULL;
        END IF;
    END IF;
    IF is_full OR found >= rows THEN
        done := last;
    END IF;
END $$;

-- Which topics have events among the next ones, or some that are gone; more than 1000 of these are
-- not named.
CREATE FUNCTION trio_stream.look_ahead(
    after bigint, most integer, OUT upto bigint, OUT names bytea[], OUT many boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    rows bigint;
    gone integer[];
BEGIN
    gone := array(
        (SELECT number FROM trio_stream.topics WHERE trimmed > look_ahead.after LIMIT 1001)
        UNION (SELECT number FROM trio_stream.topics WHERE hole > look_ahead.after LIMIT 1001));
    many := cardinality(gone) > 1000;
    SELECT max(id), count(*) INTO upto, rows FROM (
        SELECT id FROM trio_stream.events WHERE id > look_ahead.after
        ORDER BY id LIMIT look_ahead.most) AS e;
    upto := CASE WHEN rows = look_ahead.most THEN upto ELSE trio_stream.head() END;
    names := array(
        SELECT name FROM trio_stream.topics WHERE number IN (
            SELECT topic FROM trio_stream.events
            WHERE id > look_ahead.after AND id <= look_ahead.upto
            UNION SELECT unnest(gone[:1000])));
END $$;

-- Which topics have events among the last ones before an id, and where those begin.
CREATE FUNCTION trio_stream.look_back(
    before bigint, most integer, OUT down_to bigint, OUT names bytea[]
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    rows bigint;
BEGIN
    SELECT min(id - span + 1), count(*) INTO down_to, rows FROM (
        SELECT id, span FROM trio_stream.events WHERE id < look_back.before
        ORDER BY id DESC LIMIT look_back.most) AS e;
    names := array(
        SELECT name FROM trio_stream.topics WHERE number IN (
            SELECT topic FROM trio_stream.events
            WHERE id < look_back.before AND id >= look_back.down_to));
    down_to := CASE WHEN rows = look_back.most THEN down_to ELSE 0 END;
END $$;

-- Of what is kept of these topics between two ids the newest ones: how many of so many there are,
-- and the id of the oldest of them.
CREATE FUNCTION trio_stream.newest(
    names bytea[], events bigint[], bytes bigint[], ages double precision[],
    down_to bigint, before bigint, most bigint, OUT found bigint, OUT oldest bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT least(most, coalesce(sum(there), 0))::bigint,
           min(id - there + 1 + greatest(0, there_from - most))::bigint FROM (
        SELECT id, there, sum(there) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS there_from
        FROM (SELECT id, least(span, id - f.floor) AS there
              FROM trio_stream.floors(names, events, bytes, ages) AS f CROSS JOIN LATERAL (
                  SELECT id, span FROM trio_stream.events AS e
                  WHERE (topic, id) > (f.number, greatest(f.floor, down_to - 1))
                        AND (topic, id) < (f.number, before)
                  ORDER BY topic DESC, id DESC LIMIT most) AS e) AS e) AS e
    WHERE there_from - there < most
$$;

-- The id of the last event before so many seconds ago, or 0: ids and times grow together.
CREATE FUNCTION trio_stream.place_since(seconds double precision) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    since timestamptz := clock_timestamp() - make_interval(secs => seconds);
    low bigint;
    high bigint;
    middle bigint;
    older bigint := 0;
    found record;
BEGIN
    SELECT min(id), max(id) + 1 INTO low, high FROM trio_stream.events;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT id, time INTO found FROM trio_stream.events WHERE id >= middle ORDER BY id LIMIT 1;
        IF found.id IS NOT NULL AND found.time < since THEN
            older := found.id;
            low := found.id + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN older;
END $$;

CREATE FUNCTION trio_stream.find_once(topic bytea, key bytea) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT id FROM trio_stream.once WHERE once.topic = find_once.topic AND once.key = find_once.key
           AND until > clock_timestamp()
$$;

-- Deleting.

-- Behind how many bytes so many of these end that are each behind their size.
CREATE FUNCTION trio_stream.end_of(items bytea, many integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    place integer := 0;
BEGIN
    FOR i IN 1..many LOOP
        place := place + 4 + trio_stream.number_at(items, place);
    END LOOP;
    RETURN place;
END $$;

-- Delete an event of a row: what is before it and what is behind become rows of their own.
CREATE FUNCTION trio_stream.cut_out(held trio_stream.events, gone bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    earlier integer := gone - (held.id - held.span) - 1;
    later integer := held.id - gone;
    place integer := 0;    -- the bytes before it
    size integer := trio_stream.number_at(held.sizes, 4 * earlier);
BEGIN
    FOR i IN 1..earlier LOOP
        place := place + trio_stream.number_at(held.sizes, 4 * (i - 1));
    END LOOP;
    DELETE FROM trio_stream.events AS e WHERE e.id = held.id;
    IF earlier > 0 THEN
        INSERT INTO trio_stream.events
            (id, topic, span, n, total, prior, time, batch, sizes, keys, buts, data)
        VALUES (gone - 1, held.topic, earlier, held.n - later - 1,
                held.total - octet_length(held.data) + place, held.prior, held.time, held.batch,
                substring(held.sizes FOR 4 * earlier),
                substring(held.keys FOR trio_stream.end_of(held.keys, earlier)),
                substring(held.buts FOR trio_stream.end_of(held.buts, earlier)),
                substring(held.data FOR place));
    END IF;
    IF later > 0 THEN
        INSERT INTO trio_stream.events
            (id, topic, span, n, total, prior, time, sizes, keys, buts, data)
        VALUES (held.id, held.topic, later, held.n, held.total, gone, held.time,
                substring(held.sizes FROM 4 * earlier + 5),
                substring(held.keys FROM trio_stream.end_of(held.keys, earlier + 1) + 1),
                substring(held.buts FROM trio_stream.end_of(held.buts, earlier + 1) + 1),
                substring(held.data FROM place + size + 1));
    END IF;
END $$;

-- Delete an event of a topic, or, with NULL, all of them; whether there was any.
CREATE FUNCTION trio_stream.forget(
    name bytea, id bigint, events bigint, bytes bigint, age double precision
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    f record;
    newest record;
    held trio_stream.events;
    there boolean := false;
BEGIN
    PERFORM pg_advisory_xact_lock(1953655151, 1);
    SELECT * INTO f FROM trio_stream.floors(
        ARRAY[forget.name], ARRAY[forget.events], ARRAY[forget.bytes], ARRAY[forget.age]);
    IF forget.id IS NULL THEN
        DELETE FROM trio_stream.once WHERE topic = forget.name;
        SELECT id, n, total INTO newest FROM trio_stream.events
        WHERE (topic, id) > (f.number, 0) AND topic <= f.number
        ORDER BY topic DESC, id DESC LIMIT 1;
        there := newest.id > f.floor;
        IF newest.id IS NOT NULL THEN
            DELETE FROM trio_stream.events WHERE topic = f.number;
            UPDATE trio_stream.topics SET trimmed = greatest(newest.id, f.floor),
                   cut_n = newest.n, cut_total = newest.total WHERE number = f.number;
        END IF;
    ELSE
        SELECT * INTO held FROM trio_stream.events
        WHERE (topic, id) >= (f.number, forget.id) AND topic <= f.number
        ORDER BY topic, id LIMIT 1;
        there := forget.id > f.floor AND forget.id > held.id - held.span;
        IF there THEN
            PERFORM trio_stream.cut_out(held, forget.id);
            UPDATE trio_stream.topics SET hole = greatest(hole, forget.id), holes = holes + 1
            WHERE number = f.number;
        END IF;
    END IF;
    IF there THEN
        PERFORM trio_stream.signal('f', forget.name, coalesce(forget.id::text, '')::bytea);
    END IF;
    RETURN coalesce(there, false);
END $$;

-- Delete what is not kept any more of these topics, up to an id, so many of each at most; whether
-- there is more. Nothing, while somebody else does it.
CREATE FUNCTION trio_stream.trim(
    names bytea[], events bigint[], bytes bigint[], ages double precision[],
    upto bigint, most integer
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    f record;
    last record;
    more boolean := false;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF NOT pg_try_advisory_xact_lock(1953655151, 4) THEN
        RETURN false;
    END IF;
    FOR f IN SELECT * FROM trio_stream.floors(trim.names, trim.events, trim.bytes, trim.ages)
             WHERE number IS NOT NULL LOOP
        WITH gone AS (
            DELETE FROM trio_stream.events WHERE id = ANY (array(
                SELECT id FROM trio_stream.events
                WHERE (topic, id) > (f.number, 0)
                      AND (topic, id) <= (f.number, least(f.floor, trim.upto))
                ORDER BY topic, id LIMIT trim.most))
            RETURNING id, n, total)
        SELECT max(id) AS id, max(n) AS n, max(total) AS total, count(*) AS count INTO last
        FROM gone;
        IF last.count > 0 THEN
            UPDATE trio_stream.topics SET trimmed = greatest(trimmed, last.id),
                   cut_n = last.n, cut_total = last.total WHERE number = f.number;
            more := more OR last.count = trim.most;
        END IF;
    END LOOP;
    RETURN more;
END $$;

-- The topics of the events behind an id that are older than so many seconds, and up to where that
-- was looked at.
CREATE FUNCTION trio_stream.too_old(
    after bigint, seconds double precision, most integer, OUT upto bigint, OUT names bytea[]
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    WITH next AS (
        SELECT id, topic, time FROM trio_stream.events WHERE id > too_old.after
        ORDER BY id LIMIT too_old.most
    ), old AS (
        SELECT * FROM next WHERE time < clock_timestamp() - make_interval(secs => seconds)
    )
    SELECT (SELECT max(id) FROM old), array(
        SELECT name FROM trio_stream.topics WHERE number IN (SELECT topic FROM old))
    INTO too_old.upto, too_old.names;
END $$;

-- Delete what is over, and of the topics that are too many those that were published to longest
-- ago, 1000 at most; returns how many there were.
CREATE FUNCTION trio_stream.tidy(max_topics bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    excess bigint;
    numbers integer[];
    place bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM trio_stream.signals WHERE time < clock_timestamp() - interval '1 minute';
    DELETE FROM trio_stream.answers WHERE time < clock_timestamp() - interval '1 hour';
    DELETE FROM trio_stream.once WHERE ctid = ANY (array(
        SELECT ctid FROM trio_stream.once WHERE until < clock_timestamp() LIMIT 10000));
    SELECT count(*) - max_topics INTO excess FROM trio_stream.topics;
    IF excess <= 0 THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(1953655151, 1);
    SELECT array_agg(number), max(newest) INTO numbers, place FROM (
        SELECT number, greatest(trimmed, hole, (
            SELECT id FROM trio_stream.events WHERE (topic, id) > (number, 0) AND topic <= number
            ORDER BY topic DESC, id DESC LIMIT 1)) AS newest
        FROM trio_stream.topics ORDER BY newest LIMIT least(excess, 1000)) AS oldest;
    DELETE FROM trio_stream.events WHERE topic = ANY (numbers);
    DELETE FROM trio_stream.topics WHERE number = ANY (numbers);
    UPDATE trio_stream.log SET base = greatest(base, place);
    RETURN cardinality(numbers);
END $$;

-- Who holds what, and who is present.

-- With the numbering lock, so that nothing that needs the last owner's lease follows.
CREATE FUNCTION trio_stream.claim(name bytea, owner bytea, seconds double precision) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    lease record;
BEGIN
    PERFORM pg_advisory_xact_lock(1953655151, 1);
    SELECT * INTO lease FROM trio_stream.leases WHERE name = claim.name FOR UPDATE;
    IF lease.until > clock_timestamp() AND lease.owner <> claim.owner THEN
        RETURN lease.owner;
    END IF;
    INSERT INTO trio_stream.leases
    VALUES (claim.name, claim.owner, clock_timestamp() + make_interval(secs => seconds))
    ON CONFLICT ON CONSTRAINT leases_pkey
    DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until;
    RETURN CASE WHEN lease.until > clock_timestamp() THEN lease.owner END;
END $$;

CREATE FUNCTION trio_stream.prolong(name bytea, owner bytea, seconds double precision)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE trio_stream.leases SET until = clock_timestamp() + make_interval(secs => seconds)
    WHERE name = prolong.name AND owner = prolong.owner AND until > clock_timestamp();
    RETURN FOUND;
END $$;

CREATE FUNCTION trio_stream.release(name bytea, owner bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM trio_stream.leases
    WHERE leases.name = release.name AND leases.owner = release.owner
$$;

CREATE FUNCTION trio_stream.holder(name bytea) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT owner FROM trio_stream.leases
    WHERE leases.name = holder.name AND until > clock_timestamp()
$$;

-- One at a time for each name, so that each of its comings and goings is told to one caller.
CREATE FUNCTION trio_stream.join_topic(
    topic bytea, name bytea, owner bytea, count integer, seconds double precision,
    OUT before bigint, OUT now bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(1953655152, hashtext(encode(topic, 'hex') || ' '
                                                       || encode(name, 'hex')));
    SELECT coalesce(sum(p.count), 0) INTO join_topic.before FROM trio_stream.present AS p
    WHERE p.topic = join_topic.topic AND p.name = join_topic.name;
    IF join_topic.count = 0 THEN
        DELETE FROM trio_stream.present AS p WHERE p.topic = join_topic.topic
        AND p.name = join_topic.name AND p.owner = join_topic.owner;
    ELSE
        INSERT INTO trio_stream.present VALUES (
            join_topic.topic, join_topic.name, join_topic.owner, join_topic.count,
            clock_timestamp() + make_interval(secs => seconds))
        ON CONFLICT ON CONSTRAINT present_pkey
        DO UPDATE SET count = EXCLUDED.count, until = EXCLUDED.until;
    END IF;
    SELECT coalesce(sum(p.count), 0) INTO join_topic.now FROM trio_stream.present AS p
    WHERE p.topic = join_topic.topic AND p.name = join_topic.name;
    IF join_topic.now = 0 THEN
        DELETE FROM trio_stream.described AS d
        WHERE d.topic = join_topic.topic AND d.name = join_topic.name;
    END IF;
END $$;

-- Say what belongs to a name that is present; nothing said leaves it as it is.
CREATE FUNCTION trio_stream.describe(
    topic bytea, name bytea, data bytea, OUT before bytea, OUT now bytea
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(1953655152, hashtext(encode(topic, 'hex') || ' '
                                                       || encode(name, 'hex')));
    IF NOT EXISTS (SELECT FROM trio_stream.present AS p
                   WHERE p.topic = describe.topic AND p.name = describe.name) THEN
        RETURN;
    END IF;
    describe.before := coalesce((SELECT d.data FROM trio_stream.described AS d
        WHERE d.topic = describe.topic AND d.name = describe.name), 'null');
    describe.now := coalesce(nullif(describe.data, ''), describe.before);
    IF describe.now <> describe.before THEN
        INSERT INTO trio_stream.described VALUES (describe.topic, describe.name, describe.now)
        ON CONFLICT ON CONSTRAINT described_pkey DO UPDATE SET data = EXCLUDED.data;
    END IF;
END $$;

CREATE FUNCTION trio_stream.members(topic bytea)
RETURNS TABLE (name bytea, count bigint, data bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT name, sum(count), coalesce(described.data, 'null') FROM trio_stream.present
    LEFT JOIN trio_stream.described USING (topic, name)
    WHERE present.topic = members.topic AND until > clock_timestamp()
    GROUP BY name, described.data ORDER BY name
$$;

CREATE FUNCTION trio_stream.lapsed() RETURNS TABLE (topic bytea, name bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    gone record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR gone IN SELECT DISTINCT topic, name FROM trio_stream.present
                WHERE until <= clock_timestamp() ORDER BY 1, 2 LIMIT 1000 LOOP
        PERFORM pg_advisory_xact_lock(1953655152, hashtext(encode(gone.topic, 'hex') || ' '
                                                           || encode(gone.name, 'hex')));
        DELETE FROM trio_stream.present
        WHERE topic = gone.topic AND name = gone.name AND until <= clock_timestamp();
        IF FOUND AND NOT EXISTS (SELECT FROM trio_stream.present
                                 WHERE topic = gone.topic AND name = gone.name) THEN
            DELETE FROM trio_stream.described WHERE topic = gone.topic AND name = gone.name;
            RETURN QUERY SELECT gone.topic, gone.name;
        END IF;
    END LOOP;
END $$;

-- Whatever is not granted by let_publish and let_serve is its owner's.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA trio_stream FROM PUBLIC;
INSERT INTO trio_stream.log (version, base, timeline)
VALUES (3, trio_stream.now_as_id(), left(pg_walfile_name(pg_current_wal_lsn()), 8));
SELECT setval('trio_stream.ids', base), setval('trio_stream.signal_numbers', 1) FROM trio_stream.log;
