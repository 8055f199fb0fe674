#!/usr/bin/env bash
# An Azure Blob server (Azurite) on loopback, with the emulator's one account and its public key.
#
#   azurite.sh start FOLDER PORT [CONTAINER ...]     prints the address when it is ready
#   azurite.sh stop FOLDER
#
# Needs Node.js with npm, and openssl. The package goes into $TARN_TEST_TOOLS/azurite, on first use.
# Everything else lies in FOLDER. Exit 3: the package cannot be had.
set -euo pipefail

action=${1:?start or stop}
folder=${2:?a folder}
package='azurite@3.35.0'
account=devstoreaccount1
key='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

install() {
  tools=${TARN_TEST_TOOLS:-$(cd "$(dirname "$0")/../.." && pwd)/target/tmp}/azurite
  mkdir -p "$tools"
  exec 9>"$tools/lock"
  flock 9
  if [ "$(cat "$tools/installed" 2>/dev/null)" != "$package" ]; then
    command -v npm >/dev/null || { echo "Node.js with npm is not installed" >&2; exit 3; }
    if ! npm install --prefix "$tools" --no-fund --no-audit "$package" >"$tools/log" 2>&1; then
      echo "could not install $package: $(tail -1 "$tools/log")" >&2
      exit 3
    fi
    echo "$package" >"$tools/installed"
  fi
  flock -u 9
}

# A signed request, as the service asks for it.
make_container() {
  local date signature text
  date=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
  text="PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:$date\nx-ms-version:2021-08-06\n"
  text+="/$account/$account/$2\nrestype:container"
  signature=$(printf "$text" | openssl dgst -sha256 -mac HMAC -binary \
    -macopt "hexkey:$(printf %s "$key" | base64 -d | od -An -v -tx1 | tr -d ' \n')" | base64 -w0)
  curl --silent --fail --output /dev/null -X PUT -H 'Content-Length: 0' -H "x-ms-date: $date" \
    -H 'x-ms-version: 2021-08-06' -H "Authorization: SharedKey $account:$signature" \
    "http://127.0.0.1:$1/$account/$2?restype=container"
}

case $action in
start)
  port=${3:?a port}
  install
  mkdir -p "$folder"
  "$tools/node_modules/.bin/azurite-blob" --silent --disableTelemetry --skipApiVersionCheck \
    --blobHost 127.0.0.1 --blobPort "$port" --location "$folder/blobs" >"$folder/azurite.log" 2>&1 9>&- &
  echo $! >"$folder/azurite.pid"
  for _ in $(seq 1 300); do
    # Any HTTP answer means that it listens.
    if curl --silent --output /dev/null "http://127.0.0.1:$port/$account"; then
      for container in "${@:4}"; do
        make_container "$port" "$container"
      done
      echo "127.0.0.1:$port"
      exit 0
    fi
    kill -0 "$(cat "$folder/azurite.pid")" 2>/dev/null || break
    sleep 0.2
  done
  tail -5 "$folder/azurite.log" >&2
  exit 1
  ;;
stop)
  [ ! -f "$folder/azurite.pid" ] || kill "$(cat "$folder/azurite.pid")" 2>/dev/null || true
  rm -f "$folder/azurite.pid"
  ;;
*)
  echo "start or stop, not $action" >&2
  exit 2
  ;;
esac
