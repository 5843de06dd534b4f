#!/usr/bin/env bash
# Chains of three dependent calls against `wrk` on the same server: CPU seconds of the whole `run` a request, side by side.
# Needs wrk. `benches/chains.sh [ITEMS] [PAIRS]`; builds the release programs first.
set -euo pipefail
cd "$(dirname "$0")/.."
items=${1:-15000} pairs=${2:-5} port=9191
cargo build --release --bin fanfold --example third_party
fanfold=$PWD/target/release/fanfold
work=$(mktemp -d)
"$PWD/target/release/examples/third_party" --port $port --quick > "$work/server" 2>&1 &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
cd "$work"
sleep 1
seq 1 "$items" | sed 's/.*/{"id":"c&"}/' > items.jsonl
cat > chain.yaml <<'YAML'
fanfold: 1
name: chains
items: { jsonl: { source: items.jsonl }, key: "{{ item.id }}" }
batch: { max_items: 100, concurrency: 64 }
max_concurrency: 1
secrets: { token: { env: TOKEN } }
job:
  http_chain:
    base_url: http://127.0.0.1:9191
    auth: { bearer: "{{ secrets.token }}" }
    steps:
      - name: customer
        put: "/customers/{{ item.id }}"
        json: { name: "{{ item.id }}" }
        capture: { id: "{{ body.id }}" }
      - name: invoice
        post: /invoices
        json: { customer: "{{ steps.customer.id }}", cents: 100, order: "{{ item.id }}" }
        idempotency: { ttl: 24h }
        capture: { id: "{{ body.id }}" }
      - name: confirmed
        get: "/invoices/{{ steps.invoice.id }}"
        capture: { status: "{{ body.status }}" }
YAML
cat > put.lua <<'LUA'
wrk.method = "PUT"
wrk.headers["Authorization"] = "Bearer test-token"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"name":"c1"}'
LUA
TIMEFORMAT='%U %S'
for _ in $(seq "$pairs"); do
  ours=$( { time TOKEN=test-token "$fanfold" --state-dir "state-$RANDOM" run chain.yaml > /dev/null 2> said; } 2>&1 )
  grep -q succeeded said || { cat said; exit 1; }
  theirs=$( { time wrk -t1 -c64 -d3s -s put.lua http://127.0.0.1:$port/customers/c1 > wrk; } 2>&1 )
  requests=$(awk '/requests in/ { print $1 }' wrk)
  echo "$ours $theirs $requests" | awk -v calls=$((items * 3)) '{
    ours = ($1 + $2) / calls * 1e6; wrk = ($3 + $4) / $5 * 1e6
    printf "fanfold %.1f us a call, wrk %.1f us: %.3f of its requests a CPU second\n", ours, wrk, wrk / ours }'
done
