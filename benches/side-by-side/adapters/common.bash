# shellcheck shell=bash
# What every adapter starts from. A file of this folder says how one server is set up, started and told of a new list:
#   need       whether the server is on this machine
#   version    one line that says which
#   prepare    writes its configuration and the list in its own syntax
#   start      becomes the server, in the foreground (exec): its PID is measured and ended
#   reload     tells the running server of the list in HOSTS and DOMAINS; leave it out when only a restart does
#   export CHECK=0   any answer will do: the floor's
#   export KEEPS=1   it keeps a compiled list: its first start is a figure of its own, and the others are restarts
#   export SETTLE=N  it writes things down up to N seconds after they happened: that CPU time is charged as well
#
# From the environment:
#   DOMAINS HOSTS  the list, one name a line, and as lines of a hosts file
#   DIR            an empty directory for all it writes
#   PORT UP_PORT   where it listens and where the stub upstream is, both on 127.0.0.1
#   PID            the server, for `reload`
#   BIN            the compiled helpers
need() { true; }
version() { echo -; }
prepare() { :; }

# The list as a response policy zone: each name and what is below it do not exist.
rpz_zone() {
  printf '%s\n' "\$TTL 300" '@ SOA localhost. root.localhost. 1 7200 3600 604800 300' '  NS localhost.'
  awk '{print $1 " CNAME .\n*." $1 " CNAME ."}' "$DOMAINS"
}
