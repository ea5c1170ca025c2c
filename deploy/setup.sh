#!/bin/sh
# Installs what building and testing need beside Go and Node: Debian packages
# with apt-get, npm packages from their lock files. What is already there is left
# alone, without a look at the network, so it may run before every test.
#
#   deploy/setup.sh        everything that `make test` uses
#   deploy/setup.sh run    only what `make run` uses
#
# apt-get runs as root or through sudo without a password. Where neither may be,
# the script names what is missing, how to install it, and exits 1.
set -eu
cd "$(dirname "$0")/.."

what=${1:-test}
case $what in
run | test) ;;
*)
	echo "usage: deploy/setup.sh [run|test]" >&2
	exit 2
	;;
esac

certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}

fail() {
	echo "setup: $*" >&2
	exit 1
}

# need PACKAGES COMMAND...: the packages are missing when the command fails.
need() {
	packages=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $packages"
}

compiles_c() {
	echo '#include <stdlib.h>' | gcc -E -
}

# look sets missing to the Debian packages that are not there.
look() {
	missing=
	# The Go module proxy and the npm registry speak TLS.
	need ca-certificates test -s "$certificates"
	need make command -v make
	[ "$what" = test ] || return 0
	# The race detector is linked through cgo.
	need "gcc libc6-dev" compiles_c
	need shellcheck command -v shellcheck
	need chromium test -x /usr/bin/chromium
	need python3-websockets /usr/bin/python3 -c 'import websockets'
}

install_packages() {
	command -v apt-get >/dev/null || fail "missing:$missing; there is no apt-get here to install them"
	if [ "$(id -u)" = 0 ]; then
		root=
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		root="sudo -n"
	else
		fail "missing:$missing; neither root nor sudo without a password. Run as root:
  apt-get update && apt-get install -y --no-install-recommends$missing"
	fi
	echo "setup: installing$missing"
	log=$(mktemp)
	# Unquoted: root and missing are lists of words.
	# shellcheck disable=SC2086
	if ! {
		$root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update &&
			$root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
				install -y --no-install-recommends $missing
	} >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		rm -f "$log"
		fail "apt-get failed; missing:$missing"
	fi
	rm -f "$log"
	look
	[ -z "$missing" ] || fail "still missing after apt-get:$missing"
}

# install_npm DIR: node_modules equals the lock file when it was made from it.
install_npm() {
	made_from="$1/node_modules/.made-from-package-lock.json"
	if cmp -s "$1/package-lock.json" "$made_from"; then
		return 0
	fi
	echo "setup: npm ci in $1"
	# Node has certificates of its own; a company's registry may need the system's.
	(
		cd "$1"
		export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
		export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-$certificates}"
		npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	) || fail "npm ci failed in $1"
	cp "$1/package-lock.json" "$made_from"
}

command -v go >/dev/null || fail "there is no go on the PATH; install Go $(sed -n 's/^go //p' go.mod)"
if [ "$what" = test ]; then
	command -v node >/dev/null || fail "there is no node on the PATH; install Node 20 or newer"
	command -v npm >/dev/null || fail "there is no npm on the PATH; it comes with Node"
	major=$(node -p 'process.versions.node.split(".")[0]')
	[ "$major" -ge 20 ] || fail "node is version $major; install Node 20 or newer"
fi

look
[ -z "$missing" ] || install_packages

if [ "$what" = test ]; then
	find . -name node_modules -prune -o -name package-lock.json -print | while read -r lock; do
		install_npm "$(dirname "$lock")"
	done
fi
