# dnsmasq with the list as a hosts file: those names only, and other types (HTTPS) go upstream.
# shellcheck source=benches/side-by-side/adapters/dnsmasq.sh
. "$BENCH/adapters/dnsmasq.sh"
hosts() { { cat "$HOSTS" && sed 's/^0\.0\.0\.0 /:: /' "$HOSTS"; } >"$DIR/block.hosts"; }
prepare() {
  hosts
  configure "addn-hosts=$DIR/block.hosts"
}
reload() { hosts && kill -HUP "$PID"; }
