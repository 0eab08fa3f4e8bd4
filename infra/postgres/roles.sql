-- Roles and databases, made once by the server's administrator; every statement may be run again.
-- `app` owns everything; `lakehouse_api` reads what is served (the migrations grant it what it may see).
select 'create role app login password ''app''' where not exists (select from pg_roles where rolname = 'app') \gexec
select 'create role lakehouse_api login password ''lakehouse_api'''
    where not exists (select from pg_roles where rolname = 'lakehouse_api') \gexec
select 'create database analytics owner app' where not exists (select from pg_database where datname = 'analytics') \gexec
select 'create database dagster owner app' where not exists (select from pg_database where datname = 'dagster') \gexec
alter role app set timezone to 'UTC';
alter role lakehouse_api set timezone to 'UTC';
alter role lakehouse_api set default_transaction_read_only to off;
alter role lakehouse_api set statement_timeout to '15s';
alter role lakehouse_api set idle_in_transaction_session_timeout to '15s';
-- What any role may do in a database by default and the API need not: temporary tables, large objects, and
-- advisory locks, which are how the one writer is told from the others.
\connect analytics
revoke temporary on database analytics from public;
do $$
declare
    one regprocedure;
begin
    for one in
        select oid from pg_proc
        where pronamespace = 'pg_catalog'::regnamespace
            and (proname ~ '^pg_(try_)?advisory_'
                or proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_put',
                               'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite'))
    loop
        execute format('revoke execute on function %s from public', one);
        execute format('grant execute on function %s to app', one);
    end loop;
end $$;
