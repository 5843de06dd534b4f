#!/usr/bin/env bash
# The whole command against `sqlite3 .import` and, inside of tests/engines.sh, against `psql \copy`: CPU seconds of client and server.
#
#   benches/csv_import.sh FILE [ROUNDS]
#   tests/engines.sh benches/csv_import.sh FILE [ROUNDS]
#
# FILE is made by benches/gen_csv.py. Needs a release build of fanfold (FANFOLD=path for another one), sqlite3 and GNU time. Each round
# runs all, one after the other, so that whatever else the machine does falls on all.
set -euo pipefail

file=$(realpath "${1:?usage: benches/csv_import.sh FILE [ROUNDS]}")
rounds=${2:-3}
here=$(cd "$(dirname "$0")/.." && pwd)
fanfold=${FANFOLD:-$here/target/release/fanfold}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

server() {
    # CPU seconds that the server and what it started have used so far.
    local pid ticks=0
    for pid in $(pgrep -f "$FANFOLD_TEST_POSTGRES_DATA") $(pgrep -P "$(head -1 "$FANFOLD_TEST_POSTGRES_DATA/postmaster.pid")"); do
        ticks=$((ticks + $(awk '{ print $14 + $15 + $16 + $17 }' "/proc/$pid/stat" 2>/dev/null || echo 0)))
    done
    awk "BEGIN { print $ticks / $(getconf CLK_TCK) }"
}

# NAME COMMAND…: CPU seconds of the client, wall seconds, MiB.
measure() {
    local name=$1
    shift
    /usr/bin/time -o "$work/time" -f '%U %S %e %M' "$@" >"$work/stdout" 2>"$work/stderr" || { cat "$work/stderr" >&2; exit 1; }
    awk -v name="$name" '{ printf "%-28s client %.2f s CPU, %.1f s wall, %.0f MiB", name, $1 + $2, $3, $4 / 1024 }' "$work/time"
}

columns='id: integer, key: uuid, name: text, email: text, city: text, amount: AMOUNT, quantity: integer, ratio: float, created_at: TIME, notes: text'
workflow() { # DATABASE AMOUNT TIME EXTRA
    local typed=${columns/AMOUNT/$2}
    cat >"$work/import.yaml" <<END
fanfold: 1
name: import
items: { csv: { source: $file, header: first_row } }
batch: { max_items: 10000 }
max_concurrency: ${CONCURRENCY:-16}
tolerated_failure: 10%
stop: { if_first: 0 }
job: { csv_import: { database: "$1", table: rows, $4 columns: { ${typed/TIME/$3} } } }
END
}

made='id INTEGER, key TEXT, name TEXT, email TEXT, city TEXT, amount DECIMAL, quantity INTEGER, ratio REAL, created_at TEXT, notes TEXT'
for round in $(seq "$rounds"); do
    echo "round $round"
    rm -rf "$work"/*.db* "$work/state"
    sqlite3 "$work/theirs.db" "CREATE TABLE rows ($made)"
    printf 'PRAGMA journal_mode=OFF;\nPRAGMA synchronous=OFF;\n.mode csv\n.import --skip 1 %s rows\n' "$file" >"$work/script"
    measure "sqlite3 .import" sh -c "sqlite3 '$work/theirs.db' <'$work/script'"; echo
    sqlite3 "$work/ours.db" "CREATE TABLE rows ($made)"
    workflow "$work/ours.db" decimal timestamp ''
    measure "fanfold, SQLite" "$fanfold" run "$work/import.yaml" --state-dir "$work/state"; echo
    du -k "$work"/state/runs/*/run.db | awk '{ printf "run.db %d KiB\n", $1 }'
    [ -n "${FANFOLD_TEST_POSTGRES:-}" ] || continue
    url=$FANFOLD_TEST_POSTGRES/postgres
    table='id bigint, key uuid, name text, email text, city text, amount numeric, quantity integer, ratio double precision, created_at timestamptz, notes text'
    fresh() { psql -q "$url" -c "DROP TABLE IF EXISTS rows" -c "CREATE TABLE rows ($table)" -c "$1" -c CHECKPOINT; }
    race() {
        local before after
        before=$(server)
        measure "$@"
        after=$(server)
        awk "BEGIN { printf \"; server %.2f s CPU\n\", $after - $before }"
    }
    fresh 'SELECT' >/dev/null
    race "psql \\copy" psql -q "$url" -c "\\copy rows FROM '$file' WITH (FORMAT csv, HEADER)"
    fresh 'SELECT' >/dev/null
    workflow "$url" decimal '{ type: timestamp, zone: UTC }' ''
    race "fanfold, PostgreSQL" "$fanfold" run "$work/import.yaml" --state-dir "$work/state"
    fresh 'CREATE UNIQUE INDEX ON rows (id)' >/dev/null
    workflow "$url" decimal '{ type: timestamp, zone: UTC }' 'mode: upsert, conflict_key: [id],'
    race "fanfold, PostgreSQL, upsert" "$fanfold" run "$work/import.yaml" --state-dir "$work/state"
done
