#!/usr/bin/env bash
# A PostgreSQL cluster of our own, on loopback, superuser `postgres` without a password.
#
#   postgres.sh start FOLDER PORT [name=value ...]    prints the address when it is ready
#   postgres.sh stop FOLDER
#
# Needs the Debian package `postgresql-15` (any newer server package works too, the newest is taken).
# Everything lies in FOLDER. Exit 3: PostgreSQL is not installed.
set -euo pipefail

action=${1:?start or stop}
folder=${2:?a folder}

binaries=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
if [ -z "$binaries" ] || [ ! -x "$binaries/initdb" ]; then
  echo "PostgreSQL is not installed (Debian: apt-get install postgresql)" >&2
  exit 3
fi

# The server refuses to run as root: then it runs as the user of the package.
as_owner() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
  else
    "$@"
  fi
}

case $action in
start)
  port=${3:?a port}
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  [ "$(id -u)" != 0 ] || chown postgres "$folder"
  if [ ! -s "$folder/cluster/PG_VERSION" ]; then
    as_owner "$binaries/initdb" -D "$folder/cluster" -A trust -U postgres -E UTF8 --locale=C \
      >"$folder/initdb.log" 2>&1
  fi
  options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder -c timezone=UTC"
  for setting in "${@:4}"; do options+=" -c $setting"; done
  as_owner "$binaries/pg_ctl" -D "$folder/cluster" -l "$folder/server.log" -w -t 60 -o "$options" start \
    >/dev/null </dev/null
  echo "127.0.0.1:$port"
  ;;
stop)
  as_owner "$binaries/pg_ctl" -D "$folder/cluster" -m immediate -w stop >/dev/null
  ;;
*)
  echo "start or stop, not $action" >&2
  exit 2
  ;;
esac
