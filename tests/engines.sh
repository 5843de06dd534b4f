#!/usr/bin/env bash
# Starts PostgreSQL 15 on 127.0.0.1 for as long as the tests that need it run, and runs them. Debian's packages are installed if they are
# not there. Everything is in a folder of its own that is gone afterwards. Then the same for AWS (tests/aws/rig.sh), and the validators of
# others judge our definitions (tests/validators.sh).
#
#   tests/engines.sh                    the tests
#   tests/engines.sh COMMAND [ARG…]     another command, with FANFOLD_TEST_POSTGRES, …_RESTART, …_DATA and …_CA set
set -euo pipefail
cd "$(dirname "$0")/.."

bin=/usr/lib/postgresql/15/bin
if ! [ -x $bin/initdb ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql-15 >/dev/null
fi

folder=$(mktemp -d)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
  # PostgreSQL does not run as root.
  chown postgres "$folder"
  as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
fi
chmod 755 "$folder"
as $bin/initdb -D "$folder/data" -U fanfold -A trust -E UTF8 --locale=C.UTF-8 >"$folder/init.log"

# A certificate for this machine, by an authority of our own.
certificates="$folder/certificates"
as mkdir "$certificates"
as openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=fanfold-test -keyout "$certificates/ca.key" -out "$certificates/ca.pem" \
  -addext basicConstraints=critical,CA:TRUE 2>/dev/null
as openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$certificates/server.key" -out "$certificates/server.csr" 2>/dev/null
echo "subjectAltName=DNS:localhost" >"$folder/names"
as openssl x509 -req -in "$certificates/server.csr" -CA "$certificates/ca.pem" -CAkey "$certificates/ca.key" -CAcreateserial -days 2 \
  -extfile "$folder/names" -out "$certificates/server.pem" 2>/dev/null

# One who has to come by TLS, and one who has to know a password.
cat >"$folder/hba" <<END
hostssl all walled 127.0.0.1/32 trust
host all walled 127.0.0.1/32 reject
hostssl all walled ::1/128 trust
host all walled ::1/128 reject
host all keeper 127.0.0.1/32 scram-sha-256
END
cat "$folder/data/pg_hba.conf" >>"$folder/hba"
cat "$folder/hba" >"$folder/data/pg_hba.conf"

cat >>"$folder/data/postgresql.conf" <<END
ssl = on
ssl_cert_file = '$certificates/server.pem'
ssl_key_file = '$certificates/server.key'
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_wal_size = '8GB'
shared_buffers = '512MB'
autovacuum = off
END
cat >"$folder/restart" <<END
#!/bin/sh
exec $([ "$(id -u)" = 0 ] && echo setpriv --reuid=postgres --regid=postgres --init-groups) $bin/pg_ctl -D "$folder/data" -l "$folder/log" -w -m immediate restart
END
chmod 755 "$folder/restart"
trap 'as $bin/pg_ctl -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
as $bin/pg_ctl -D "$folder/data" -l "$folder/log" -w start >/dev/null

export PATH="$bin:$PATH"
export FANFOLD_TEST_POSTGRES="postgres://fanfold@127.0.0.1:$port"
export FANFOLD_TEST_POSTGRES_RESTART="$folder/restart"
export FANFOLD_TEST_POSTGRES_DATA="$folder/data"
export FANFOLD_TEST_POSTGRES_CA="$certificates/ca.pem"
if [ $# -gt 0 ]; then
  "$@"
else
  cargo test --test suite import_postgres:: -- --ignored --skip two_hundred --skip restarted
  # Alone: the others would not like it.
  cargo test --test suite server_that_is_restarted -- --ignored
  # AWS, played by others. One after the other: what goes wrong with the workers is asked of all of them.
  cargo build --examples
  tests/aws/rig.sh target/aws/venv/bin/python tests/aws/engine_test.py
  tests/aws/rig.sh cargo test --test suite -- --ignored --test-threads=1 --show-output aws_engine what_is_shown_of_aws
  tests/validators.sh
fi
