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
