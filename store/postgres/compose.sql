-- The role and the database of the API, for a Postgres that compose.yaml has just made. The role
-- owns its database. So it can migrate it and make pg_trgm there: Postgres trusts owners with that.
-- It can do nothing else.

\set ON_ERROR_STOP on
\set file /run/secrets/clientes_password
\getenv file CLIENTES_PASSWORD_FILE
\set password `cat :file`

CREATE ROLE clientes LOGIN PASSWORD :'password'
	NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
CREATE DATABASE clientes OWNER clientes TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
REVOKE ALL ON DATABASE clientes FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
