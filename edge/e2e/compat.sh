#!/usr/bin/env bash
# Proves that the clients printed in the ecosystem's documents work unmodified:
# cuts the Python and the JavaScript client out of the document that prints them,
# byte for byte, starts `indranet dev` on the services' own ports, and passes when
# each client has printed an adapter.activated event of llamaindex.
#
#   edge/e2e/compat.sh DIR BINARY
#
# DIR holds the documents; exactly one of them prints the clients.
set -euo pipefail

port=8693     # dhruva's, to which both clients connect
seconds=30    # until the server listens, and until a client has its event

fail() {
	echo "compat: FAIL: $*" >&2
	exit 1
}

if [ $# != 2 ] || [ -z "$1" ]; then
	fail "usage: make compat SOURCE=DIR"
fi
source=$1
binary=$(realpath "$2")
[ -d "$source" ] || fail "there is no directory $source"

work=$(mktemp -d)
pids=()

# Ends what this script started, and nothing else.
finish() {
	for pid in "${pids[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# cut_client HEADING LANGUAGE: the first fenced block of the language that
# follows the heading, without its fences.
cut_client() {
	awk -v heading="### $1" -v fence="\`\`\`$2" '
		inside && $0 == "```" { exit }
		inside                { print; next }
		/^##/                 { below = ($0 == heading) }
		below && $0 == fence  { inside = 1 }
	' "$document"
}

# wait_for WHAT PID FILE PATTERN: waits until the file, which the process writes,
# holds a line of the pattern. The process may end before.
wait_for() {
	if (
		set +o pipefail # grep ends tail, which is no failure
		timeout "$seconds" tail -n +1 -s 0.1 -f --pid="$2" "$3" | grep -qE -- "$4"
	); then
		return 0
	fi
	echo "--- $1 printed:" >&2
	cat "$3" >&2
	if [ "$3" != "$server_log" ]; then
		echo "--- the server printed:" >&2
		cat "$server_log" >&2
	fi
	fail "$1: no line matched $4"
}

# run_client NAME PATTERN... -- COMMAND...
run_client() {
	local name=$1 patterns=() log pid pattern
	shift
	while [ "$1" != -- ]; do
		patterns+=("$1")
		shift
	done
	shift
	log="$work/$name.log"
	: >"$log" # tail wants it to be there
	"$@" >>"$log" 2>&1 </dev/null &
	pid=$!
	pids+=("$pid")
	for pattern in "${patterns[@]}"; do
		wait_for "the $name client" "$pid" "$log" "$pattern"
	done
	kill -TERM "$pid" 2>/dev/null || fail "the $name client ended by itself"
	wait "$pid" 2>/dev/null || true
	echo "compat: the $name client received:"
	grep -E -A 6 -m 1 -- "${patterns[0]}" "$log" | sed 's/^/    /'
}

[ -x "$binary" ] || fail "there is no program $binary"
command -v node >/dev/null || fail "node is missing"
/usr/bin/python3 -c 'import websockets' 2>/dev/null || fail "python3-websockets is missing; run deploy/setup.sh"

mapfile -t documents < <(grep -lx '### Python Client' "$source"/*.txt 2>/dev/null | xargs -r grep -lx '### JavaScript Client')
[ "${#documents[@]}" = 1 ] || fail "${#documents[@]} documents in $source print the clients, not one"
document=${documents[0]}
cut_client "Python Client" python >"$work/client.py"
cut_client "JavaScript Client" javascript >"$work/client.mjs"
for client in client.py client.mjs; do
	[ -s "$work/$client" ] || fail "$document prints no $client"
	echo "compat: $client: $(wc -l <"$work/$client") lines, sha256 $(sha256sum "$work/$client" | cut -c 1-16)"
done

if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
	fail "something listens on 127.0.0.1:$port already"
fi
server_log="$work/server.log"
: >"$server_log"
"$binary" dev --data "$work/data" --http 127.0.0.1:0 --nats 127.0.0.1:0 >>"$server_log" 2>&1 </dev/null &
server=$!
pids+=("$server")
wait_for "indranet dev" "$server" "$server_log" 'http://[0-9.]+:[0-9]+'

run_client Python '^Event: adapter\.activated - .*llamaindex' -- \
	/usr/bin/python3 -u "$work/client.py"
run_client JavaScript '^Adapter activated: ' "adapter_id: 'llamaindex'" -- \
	node --experimental-websocket "$work/client.mjs"

kill -TERM "$server" 2>/dev/null || fail "indranet dev ended by itself"
wait "$server" || fail "indranet dev ended with status $? after SIGTERM"
pids=()
echo "compat: PASS: both clients, unmodified, against indranet dev"
