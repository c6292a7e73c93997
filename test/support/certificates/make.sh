#!/usr/bin/env bash
# Makes the certificates that the tests use, which are trusted by nobody else: an authority, two certificates of the server, one of a
# client, and one of a client that another authority signed. They last a hundred years.
set -euo pipefail
cd "$(dirname "$0")"
days=36500
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days $days -subj "/CN=$1" -keyout "$1.key" -out "$1.crt"
}
signed() { # name, authority, common name, extensions
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$3" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days $days -extfile <(echo "$4") -out "$1.crt"
}
authority ca
authority stranger
signed server-1 ca localhost "subjectAltName=DNS:localhost,IP:127.0.0.1"
signed server-2 ca localhost "subjectAltName=DNS:localhost,IP:127.0.0.1"
signed client ca agent-7 "extendedKeyUsage=clientAuth"
signed impostor stranger agent-7 "extendedKeyUsage=clientAuth"
rm -f ./*.csr ./*.srl ca.key stranger.key stranger.crt
