-- What makes the tables of version 3 of those of version 2. Its functions are replaced after this.

CREATE SEQUENCE trio_stream.seen MINVALUE 0 START 0;
DROP FUNCTION trio_stream.number(xid8, xid8[], integer);
DROP TRIGGER ring ON trio_stream.outbox;
CREATE CONSTRAINT TRIGGER ring AFTER INSERT OR UPDATE OF ring ON trio_stream.outbox
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trio_stream.ring();
UPDATE trio_stream.log SET version = 3;
