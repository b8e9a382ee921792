-- What makes the tables of version 2 of those of version 1. Its functions are replaced after this.

DROP FUNCTION trio_stream.live(bigint, bigint, integer);
DROP FUNCTION trio_stream.read(bytea[], bigint[], bigint[], double precision[], bigint, bigint, integer, integer);

-- Each event stays a row of its own. Written anew by ALTER TABLE, they leave no dead ones.
ALTER TABLE trio_stream.events ADD span integer NOT NULL DEFAULT 1, ADD sizes bytea;
ALTER TABLE trio_stream.events ALTER span DROP DEFAULT,
    ALTER sizes TYPE bytea USING int4send(octet_length(data)), ALTER sizes SET NOT NULL,
    ALTER key DROP NOT NULL, ALTER but DROP NOT NULL,
    ALTER key TYPE bytea USING CASE WHEN key <> '' THEN int4send(octet_length(key)) || key END,
    ALTER but TYPE bytea USING CASE WHEN but <> '' THEN int4send(octet_length(but)) || but END;
ALTER TABLE trio_stream.events RENAME key TO keys;
ALTER TABLE trio_stream.events RENAME but TO buts;
DROP TRIGGER ring ON trio_stream.outbox;
CREATE CONSTRAINT TRIGGER ring AFTER INSERT ON trio_stream.outbox
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trio_stream.ring();
UPDATE trio_stream.log SET version = 2;
