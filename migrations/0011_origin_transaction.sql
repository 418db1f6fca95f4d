-- A third thing that a restore can't carry along: which transaction wrote the row of `origin`. Everybody may see it, also a
-- role that may not read the system identifier. The ids of the database and the table alone are the same again where two
-- fresh clusters were filled by the same steps.

-- PostgreSQL notes in each row the transaction that wrote it (`xmin`, the lower 32 bits of it), also after it was frozen.
-- A restore writes the row anew, in a transaction of its own.
alter table origin add column written_by xid8;

-- Who restored a database of before keeps being told so by the other columns.
update origin set written_by = pg_current_xact_id();
