#!/usr/bin/env bash
# A tour of the service without a client: with grpcurl, and at its end with buf curl. The server has reflection, so neither needs
# the .proto files. Values are JSON text within JSON. Run it in the clone while the server runs: examples/tour.sh
#
#   go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
#
# CORTEX_ADDRESS names the server (default 127.0.0.1:50051), GRPCURL is the path of grpcurl.
set -euo pipefail
address=${CORTEX_ADDRESS:-127.0.0.1:50051}
call() { # SERVICE/METHOD JSON: one call, as JSON in one line
  { ${GRPCURL:-grpcurl} -plaintext -H 'x-tenant-id: tour' -H 'x-agent-id: me' -d "$2" "$address" "cortex.$1" 2>&1 ||
    true; } | tr -s '\n\t ' ' '
  echo
}
step() { echo "--- $1"; }

step "A value is JSON text. The reply is the record as stored."
call scopes.v1.Scopes/Purge '{"scope": [{"key": "example", "identifier": "tour"}]}' > /dev/null
scope='"scope": [{"key": "example", "identifier": "tour"}]'
call mutable.v1.MutableStore/Set '{"namespace": "inventory", "key": "widget-qty", "value_json": "100", '"$scope"'}'

step "Arithmetic happens in the database, and is exact. Amounts are decimal text."
call mutable.v1.MutableStore/Update '{"namespace": "inventory", "key": "widget-qty", "decrement": {"amount": "2.5"}, '"$scope"'}'

step "A write under a request id is applied once, however often it is sent."
once='{"namespace": "inventory", "key": "orders", "increment": {}, "create_if_missing": true, "request_id": "tour-'$RANDOM$RANDOM'", '"$scope"'}'
call mutable.v1.MutableStore/Update "$once" > /dev/null
call mutable.v1.MutableStore/Update "$once" > /dev/null
call mutable.v1.MutableStore/Get '{"namespace": "inventory", "key": "orders", '"$scope"'}'

step "A failed call has a reason, and details for a program."
call mutable.v1.MutableStore/Update '{"namespace": "inventory", "key": "none", "increment": {}, '"$scope"'}'

step "Several operations, all or none."
call mutable.v1.MutableStore/Commit '{"operations": [
  {"namespace": "inventory", "key": "a", "set": {"value_json": "[1]"}},
  {"namespace": "inventory", "key": "a", "append": {"value_json": "2"}},
  {"store": {"type": "audit", "id": "a", "data_json": "{\"by\": \"me\"}"}}], '"$scope"'}'

step "A claim: one owner at a time, with a fence that guards writes."
call claims.v1.Claims/Acquire '{"name": "report", "owner": "me", "ttl_seconds": 30, '"$scope"'}'
call claims.v1.Claims/Acquire '{"name": "report", "owner": "other", "ttl_seconds": 30, '"$scope"'}'

step "A stream, and a group whose consumers share its entries."
call streams.v1.Streams/Append '{"stream": "jobs", "entries": [{"data_json": "{\"n\": 1}"}], '"$scope"'}' > /dev/null
call streams.v1.Streams/EnsureGroup '{"stream": "jobs", "group": "workers", '"$scope"'}' > /dev/null
call streams.v1.Streams/Read '{"stream": "jobs", "group": "workers", "consumer": "w-1", '"$scope"'}'

step "Watch a namespace: first its current entries, then each change (here for one second)."
${GRPCURL:-grpcurl} -plaintext -max-time 1 -H 'x-tenant-id: tour' \
  -d '{"namespace": "inventory", "key_prefix": "w", "include_current": true, '"$scope"'}' \
  "$address" cortex.mutable.v1.MutableStore/Watch 2> /dev/null | grep -m 1 '"valueJson"' || true

step "The same with buf curl."
npx --no-install buf curl --protocol grpc --http2-prior-knowledge -H 'x-tenant-id: tour' \
  -d '{"namespace": "inventory", "filter": {"key_prefix": "w"}, '"$scope"'}' \
  "http://$address/cortex.mutable.v1.MutableStore/Count"
