# PowerDNS Recursor with an RPZ file, one thread, its packet cache on.
need() { command -v pdns_recursor rec_control; }
version() { pdns_recursor --version 2>&1 | grep -o 'PowerDNS Recursor [0-9.]*' | head -n 1; }
prepare() {
  rpz_zone >"$DIR/block.rpz"
  echo "rpzFile('$DIR/block.rpz', {policyName = 'block'})" >"$DIR/rpz.lua"
  printf '%s\n' daemon=no local-address=127.0.0.1 "local-port=$PORT" allow-from=127.0.0.0/8 threads=1 pdns-distributes-queries=no \
    "forward-zones-recurse=.=127.0.0.1:$UP_PORT" dont-query= dnssec=off "socket-dir=$DIR" "lua-config-file=$DIR/rpz.lua" quiet=yes \
    loglevel=3 any-to-tcp=no security-poll-suffix= >"$DIR/recursor.conf"
}
start() { exec pdns_recursor --config-dir="$DIR"; }
reload() { rpz_zone >"$DIR/block.rpz" && rec_control --config-dir="$DIR" --socket-dir="$DIR" --timeout=120 reload-lua-config; }
