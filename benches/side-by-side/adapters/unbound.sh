# unbound with one `local-zone: NAME always_null` for each name: what is below it too.
need() { command -v unbound unbound-control; }
version() { unbound -V | sed -n "1s/Version/unbound/p"; }
zones() { awk '{print "local-zone: \"" $1 "\" always_null"}' "$DOMAINS" >"$DIR/block.conf"; }
configure() { # $1: modules; $2: further configuration
  cat >"$DIR/unbound.conf" <<EOF
server:
  interface: 127.0.0.1@$PORT
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  directory: "$DIR"
  pidfile: "$DIR/pid"
  num-threads: 1
  module-config: "$1"
  do-not-query-localhost: no
  msg-cache-size: 32m
  rrset-cache-size: 64m
remote-control:
  control-enable: yes
  control-interface: "$DIR/control"
  control-use-cert: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@$UP_PORT
$2
EOF
}
prepare() {
  zones
  configure iterator "server:
  include: \"$DIR/block.conf\""
}
start() { exec unbound -d -c "$DIR/unbound.conf"; }
reload() { zones && unbound-control -c "$DIR/unbound.conf" reload; }
