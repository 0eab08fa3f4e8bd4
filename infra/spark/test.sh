#!/usr/bin/env bash
# Runs the tests marked `spark` on a real Spark; what they do on Sail in `make test` must come out the same.
# usage: test.sh [arguments of pytest]      all of the core's tests without any
set -euo pipefail
PROJECT=$(cd "$(dirname "$0")/../.." && pwd)
PYTHON="$PROJECT/.venv/bin/python"
"$PYTHON" "$PROJECT/infra/spark/jars.py" > /dev/null

WORK=$(mktemp -d)
PORT=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cd "$WORK"
"$PROJECT/infra/spark/connect_server.sh" "$PORT" > "$WORK/server.log" 2>&1 &
SERVER=$!
trap 'kill "$SERVER" 2> /dev/null || true; wait "$SERVER" 2> /dev/null || true; rm -rf "$WORK"' EXIT

for _ in $(seq 120); do
  if "$PYTHON" -c "import socket; socket.create_connection(('127.0.0.1', $PORT), 1)" 2> /dev/null; then break; fi
  kill -0 "$SERVER" 2> /dev/null || { tail -50 "$WORK/server.log"; echo "Spark did not start."; exit 1; }
  sleep 1
done

cd "$PROJECT"
if SPARK_REMOTE="sc://127.0.0.1:$PORT" "$PYTHON" -m pytest -m spark "${@:-ecom_lakehouse_tests/core}"; then exit 0; fi
echo "--- the end of Spark's log"
tail -30 "$WORK/server.log"
exit 1
