#!/usr/bin/env bash
# An S3 server (moto) on loopback, with any keys, in memory: what it holds is gone when it stops.
#
#   s3.sh start FOLDER PORT [BUCKET ...]     prints the address when it is ready
#   s3.sh stop FOLDER
#
# Needs Python 3. The package goes into $TARN_TEST_TOOLS/s3, on first use. Log and process id lie in
# FOLDER. Exit 3: the package cannot be had.
#
# Every request is handled under one lock. The package's own command is threaded, and of two
# simultaneous conditional PUTs of one key both may win there; a lake's commits rest on one winner.
set -euo pipefail

action=${1:?start or stop}
folder=${2:?a folder}
package='moto[server]==5.2.5'

install() {
  tools=${TARN_TEST_TOOLS:-$(cd "$(dirname "$0")/../.." && pwd)/target/tmp}/s3
  mkdir -p "$tools"
  exec 9>"$tools/lock"
  flock 9
  if [ "$(cat "$tools/installed" 2>/dev/null)" != "$package" ]; then
    command -v python3 >/dev/null || { echo "Python 3 is not installed" >&2; exit 3; }
    if ! { python3 -m venv --clear "$tools/python" &&
           "$tools/python/bin/pip" install --quiet --disable-pip-version-check "$package"; } >"$tools/log" 2>&1; then
      echo "could not install $package: $(tail -1 "$tools/log")" >&2
      exit 3
    fi
    echo "$package" >"$tools/installed"
  fi
  flock -u 9
}

case $action in
start)
  port=${3:?a port}
  install
  mkdir -p "$folder"
  cat >"$folder/s3_server.py" <<'PY'
import sys, threading
from werkzeug.serving import WSGIRequestHandler, run_simple
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

lock = threading.Lock()
inner = DomainDispatcherApplication(create_backend_app)

def app(environ, start_response):
    with lock:
        body = inner(environ, start_response)
        try:
            return [b"".join(body)]
        finally:
            if hasattr(body, "close"):
                body.close()

WSGIRequestHandler.protocol_version = "HTTP/1.1"
run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
PY
  "$tools/python/bin/python" "$folder/s3_server.py" "$port" >"$folder/s3.log" 2>&1 9>&- &
  echo $! >"$folder/s3.pid"
  for _ in $(seq 1 300); do
    if curl --silent --fail --output /dev/null "http://127.0.0.1:$port/moto-api/data.json"; then
      for bucket in "${@:4}"; do
        curl --silent --fail --output /dev/null -X PUT "http://127.0.0.1:$port/$bucket"
      done
      echo "127.0.0.1:$port"
      exit 0
    fi
    kill -0 "$(cat "$folder/s3.pid")" 2>/dev/null || break
    sleep 0.2
  done
  tail -5 "$folder/s3.log" >&2
  exit 1
  ;;
stop)
  [ ! -f "$folder/s3.pid" ] || kill "$(cat "$folder/s3.pid")" 2>/dev/null || true
  rm -f "$folder/s3.pid"
  ;;
*)
  echo "start or stop, not $action" >&2
  exit 2
  ;;
esac
