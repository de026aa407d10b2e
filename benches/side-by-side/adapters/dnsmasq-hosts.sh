# dnsmasq with the list as a hosts file: A and AAAA only, so it lets HTTPS queries (type 65) of listed names through.
# shellcheck source=benches/side-by-side/adapters/dnsmasq.sh
. "$BENCH/adapters/dnsmasq.sh"
hosts() { { cat "$HOSTS" && sed 's/^0\.0\.0\.0 /:: /' "$HOSTS"; } >"$DIR/block.hosts"; }
prepare() {
  hosts
  configure "addn-hosts=$DIR/block.hosts"
}
reload() { hosts && kill -HUP "$PID"; }
