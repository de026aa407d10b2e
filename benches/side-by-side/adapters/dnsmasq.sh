# dnsmasq with `address=/NAME/#` for each name: 0.0.0.0 and ::, what is below it too. Other types
# (HTTPS) go upstream. Only a restart changes that list.
need() { command -v dnsmasq; }
version() { dnsmasq --version | head -n 1 | cut -d " " -f 1-3; }
configure() { # $1: the line that names the list
  printf '%s\n' no-resolv no-hosts no-poll bind-interfaces listen-address=127.0.0.1 "port=$PORT" "server=127.0.0.1#$UP_PORT" \
    cache-size=10000 "user=$(id -un)" "pid-file=$DIR/pid" "$1" >"$DIR/dnsmasq.conf"
}
prepare() {
  awk '{print "address=/" $1 "/#"}' "$DOMAINS" >"$DIR/block.conf"
  configure "conf-file=$DIR/block.conf"
}
start() { exec dnsmasq --keep-in-foreground --conf-file="$DIR/dnsmasq.conf"; }
