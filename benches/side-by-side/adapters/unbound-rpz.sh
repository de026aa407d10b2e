# unbound with a response policy zone.
# shellcheck source=benches/side-by-side/adapters/unbound.sh
. "$BENCH/adapters/unbound.sh"
prepare() {
  rpz_zone >"$DIR/block.rpz"
  configure 'respip iterator' "rpz:
  name: block.rpz
  zonefile: \"$DIR/block.rpz\""
}
reload() { rpz_zone >"$DIR/block.rpz" && unbound-control -c "$DIR/unbound.conf" auth_zone_reload block.rpz; }
